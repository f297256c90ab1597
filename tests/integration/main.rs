//! The integration tests: one binary, a module for each part of the program.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

// First, for its macro.
#[macro_use]
mod store;

mod answers;
mod attacks;
mod bad_input;
mod boundaries;
mod contract;
mod delivery;
mod doctor;
mod faults;
mod golden;
mod keeping;
mod linking;
mod modal_cli;
mod own_telemetry;
mod pages;
mod process;
mod reference;
mod rest;
mod revisions;
mod service;
mod sharing;
mod sources;
mod sources_otlp;
mod support;
mod surfaces;
mod version;
