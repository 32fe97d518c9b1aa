//! `gatepost-keydir`, the sidecar: the process that faces the Internet and holds no secret key but its TLS key.
