//! Empty: the kernel programs are the binary target. A library target lets the `observer` package
//! name this one as a build dependency, so that Cargo rebuilds it when the programs change.
#![no_std]
