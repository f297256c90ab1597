//! beacon-collector: reads log streams, turns printed trace lines into spans, stores them beside the
//! spans of other services, and says why an execution failed. `docs/architecture.md` is the map.

pub mod analysis;
pub mod model;
pub mod store;
pub mod untrusted;
