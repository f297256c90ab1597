//! Leases: one holder at a time, and a holder that was replaced moves no checkpoint.

use std::sync::Arc;
use std::time::Duration;

use beacon_collector::store::{Batch, Checkpoint, Claim, Holder, Lease, Store};
use serde_json::json;
use uuid::Uuid;

use crate::support::database::Database;

on_every_store!(
    a_lease_is_its_holders_until_it_is_given_back,
    a_lease_that_runs_out_is_taken_over_under_a_higher_fence,
    a_holder_that_was_restarted_has_its_lease_at_once,
    of_many_who_ask_at_once_one_gets_the_lease,
    a_fence_grows_even_when_somebody_deletes_the_lease,
    a_checkpoint_under_a_lower_fence_changes_nothing,
);

const TERM: Duration = Duration::from_secs(30);

fn holder(name: &str) -> Holder {
    Holder {
        id: Uuid::new_v4(),
        label: name.to_owned(),
    }
}

async fn claim(store: &Arc<dyn Store>, holder: &Holder, term: Duration) -> Lease {
    let claim = Claim {
        names: vec!["modal:app".to_owned()],
        holder: holder.clone(),
        term,
    };
    let mut leases = store.claim(&claim).await.unwrap();
    assert_eq!(leases.len(), 1);
    leases.remove(0)
}

/// Lets every lease run out, without waiting for it.
async fn run_out(db: &Database) {
    let leases = db.own("leases");
    db.execute(&format!("update {leases} set expires_at = claimed_at"))
        .await;
}

async fn a_lease_is_its_holders_until_it_is_given_back(db: Database) {
    let (one, two) = (holder("one"), holder("two"));
    let first = claim(&db.store, &one, TERM).await;
    assert!(first.fence.is_some());
    assert_eq!(first.before, None);
    let refused = claim(&db.store, &two, TERM).await;
    assert_eq!((refused.fence, refused.before), (None, Some("one".into())));
    // Who does not hold it can't give it back either.
    claim(&db.store, &two, Duration::ZERO).await;
    assert_eq!(claim(&db.store, &two, TERM).await.fence, None);
    assert_eq!(claim(&db.store, &one, TERM).await.fence, first.fence);
    claim(&db.store, &one, Duration::ZERO).await;
    assert!(claim(&db.store, &two, TERM).await.fence > first.fence);
}

async fn a_lease_that_runs_out_is_taken_over_under_a_higher_fence(db: Database) {
    let (one, two) = (holder("one"), holder("two"));
    let first = claim(&db.store, &one, TERM).await;
    run_out(&db).await;
    // Late, but nobody was faster.
    assert_eq!(claim(&db.store, &one, TERM).await.fence, first.fence);
    run_out(&db).await;
    let second = claim(&db.store, &two, TERM).await;
    assert!(second.fence > first.fence);
    assert_eq!(claim(&db.store, &one, TERM).await.fence, None);
}

async fn a_holder_that_was_restarted_has_its_lease_at_once(db: Database) {
    let one = holder("one");
    let first = claim(&db.store, &one, TERM).await;
    let store = db.reopen().await;
    assert_eq!(claim(&store, &one, TERM).await.fence, first.fence);
}

async fn of_many_who_ask_at_once_one_gets_the_lease(db: Database) {
    for _ in 0..5 {
        let claims: Vec<_> = (0..8)
            .map(|number| {
                let (store, holder) = (Arc::clone(&db.store), holder(&number.to_string()));
                tokio::spawn(async move { claim(&store, &holder, TERM).await })
            })
            .collect();
        let mut got = 0;
        for claim in claims {
            got += usize::from(claim.await.unwrap().fence.is_some());
        }
        assert_eq!(got, 1);
        run_out(&db).await;
    }
}

async fn a_fence_grows_even_when_somebody_deletes_the_lease(db: Database) {
    let first = claim(&db.store, &holder("one"), TERM).await;
    db.execute(&format!("delete from {}", db.own("leases")))
        .await;
    let second = claim(&db.store, &holder("two"), TERM).await;
    assert!(second.fence > first.fence);
}

async fn a_checkpoint_under_a_lower_fence_changes_nothing(db: Database) {
    let write = async |fence, offset| {
        let checkpoint = Checkpoint {
            source: "file".into(),
            position: json!({"offset": offset}),
            fence,
        };
        let batch = Batch {
            checkpoints: vec![checkpoint],
            ..Batch::default()
        };
        db.store.write(&batch).await.unwrap();
        db.store.checkpoint("file").await.unwrap().unwrap()["offset"].clone()
    };
    assert_eq!(write(5, 100).await, 100);
    assert_eq!(write(5, 120).await, 120);
    assert_eq!(write(4, 900).await, 120, "its holder was replaced");
    assert_eq!(write(0, 900).await, 120, "it never had the lease");
    assert_eq!(
        write(6, 110).await,
        110,
        "the new holder read it again from there"
    );
}
