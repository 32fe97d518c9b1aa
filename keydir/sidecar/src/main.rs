//! `gatepost-keydir`.

fn main() {}
