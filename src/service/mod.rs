//! The process as a service: what its manager is told while it runs, and how it is installed.

mod install;
mod notify;
mod unit;

pub use install::{Place, Plan, Step};
pub use notify::{Notifier, Starting};
pub use unit::{Instance, Kind};
