//! The store's contract as one behaviour suite, run against every implementation.

/// Makes a test of each function, for each store.
macro_rules! on_every_store {
    ($($behaviour:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $behaviour() {
                super::$behaviour(crate::support::database::sqlite().await).await;
            })+
        }
        mod postgres {
            $(#[tokio::test]
            async fn $behaviour() {
                super::$behaviour(crate::support::database::postgres().await).await;
            })+
        }
    };
}

mod alone;
mod coexisting;
mod leasing;
mod migrating;
mod naming;
mod pooler;
mod postgres;
mod reading;
mod sqlite;
mod writing;
