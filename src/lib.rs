//! beacon-collector.
