//! beacon-collector: reads log streams, turns printed trace lines into spans, stores them beside the
//! spans of other services, and says why an execution failed. `docs/architecture.md` is the map.

pub mod analysis;
pub mod app;
pub mod cli;
pub mod collect;
pub mod config;
pub mod correlate;
pub mod doctor;
pub mod http;
pub mod mcp;
pub mod model;
pub mod pipeline;
pub mod query;
pub mod render;
pub mod service;
pub mod source;
pub mod store;
pub mod telemetry;
pub mod untrusted;
