//! Roads that can be trusted: DANE, MTA-STS, TLS reports, policy server, synchronous relay.
