//! What tests share: databases of their own, and printed lines as observations.

pub(crate) mod cluster;
pub(crate) mod collector;
pub(crate) mod counting;
pub(crate) mod database;
pub(crate) mod faulty;
pub(crate) mod lines;
pub(crate) mod link;
pub(crate) mod modal;
pub(crate) mod proxy;
pub(crate) mod questions;
pub(crate) mod receiver;
pub(crate) mod server;
pub(crate) mod stories;
pub(crate) mod world;
