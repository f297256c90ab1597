//! The process as a service: what its manager is told while it runs, and how it is installed.

mod install;
mod notify;
mod state;
mod unit;

pub use install::{Place, Plan, Step};
pub use notify::{Notifier, Starting};
pub use state::ServiceState;
pub use unit::{Instance, Kind};
