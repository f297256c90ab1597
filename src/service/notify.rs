//! What the service manager is told: ready, state in words, still alive, reloading, stopping. Silent
//! where there is no manager that listens (`NOTIFY_SOCKET`).
//!
//! Invariant: the watchdog is told only of life that was seen: this task is run by the same threads as
//! the pipeline, and no stage of it has been at one piece of work for too long.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::pipeline::Health;

/// How often the state is told where no watchdog asks for more.
const STATUS_EVERY: Duration = Duration::from_secs(10);
/// The first text tells of sources that are about to run; the second comes so soon after it.
const SETTLED: Duration = Duration::from_secs(1);
/// How often more time is asked for at start and stop, and how much. Both have bounds of their own.
const EXTENSION: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(30));
/// Longer than any piece of work takes: three tries at a write, each with its time-outs.
const STUCK: Duration = Duration::from_secs(180);

/// Asks for time while the process starts: completing the schema of a large database takes long.
#[derive(Debug)]
pub struct Starting(Option<JoinHandle<()>>);

impl Starting {
    /// Begins to ask.
    pub fn begin() -> Self {
        let ask = async {
            loop {
                tell("starting".to_owned(), vec![extension()]).await;
                tokio::time::sleep(EXTENSION.0).await;
            }
        };
        Self(is_heard().then(|| tokio::spawn(ask)))
    }

    /// Says that the process listens and collects, and keeps its manager informed from here on.
    pub async fn ready(self, health: Health, stopping: CancellationToken) -> Notifier {
        drop(self);
        if !is_heard() {
            return Notifier(None);
        }
        tell(status(&health), vec![NotifyState::Ready]).await;
        Notifier(Some(tokio::spawn(inform(health, stopping))))
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(asking) = &self.0 {
            asking.abort();
        }
    }
}

/// Keeps the manager informed until dropped.
#[derive(Debug)]
pub struct Notifier(Option<JoinHandle<()>>);

impl Notifier {
    /// Says that the configuration is read again.
    pub async fn reloading() {
        let mut states = vec![NotifyState::Reloading];
        // Without the time a manager of Type=notify-reload does not believe it.
        states.extend(NotifyState::monotonic_usec_now().ok());
        tell("reading the configuration again".to_owned(), states).await;
    }

    /// Says that it was read.
    pub async fn reloaded() {
        tell(
            "configuration read again".to_owned(),
            vec![NotifyState::Ready],
        )
        .await;
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        if let Some(informing) = &self.0 {
            informing.abort();
        }
    }
}

async fn inform(health: Health, stopping: CancellationToken) {
    let watchdog = sd_notify::watchdog_enabled();
    let every = watchdog.map_or(STATUS_EVERY, |limit| (limit / 3).min(STATUS_EVERY));
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut first = true;
    loop {
        tokio::select! {
            biased;
            () = stopping.cancelled() => break,
            _ = ticks.tick() => {}
        }
        let (text, alive) = state(&health, STUCK);
        let alive = alive && watchdog.is_some();
        tell(
            text,
            alive.then_some(NotifyState::Watchdog).into_iter().collect(),
        )
        .await;
        if std::mem::take(&mut first) {
            ticks.reset_after(SETTLED.min(every));
        }
    }
    let mut states = vec![NotifyState::Stopping];
    loop {
        states.push(extension());
        // Draining is progress too; a bound of its own ends it.
        states.extend(watchdog.map(|_| NotifyState::Watchdog));
        tell("storing what was read".to_owned(), states).await;
        states = Vec::new();
        tokio::time::sleep(every.min(EXTENSION.0)).await;
    }
}

fn extension() -> NotifyState<'static> {
    let time = u32::try_from(EXTENSION.1.as_micros()).unwrap_or(u32::MAX);
    NotifyState::ExtendTimeoutUsec(time)
}

/// The state in words, and whether every stage moves.
fn state(health: &Health, limit: Duration) -> (String, bool) {
    match health.stuck(limit) {
        None => (status(health), true),
        Some(stuck) => {
            tracing::error!(stuck, "the watchdog is not told that all is well");
            (stuck, false)
        }
    }
}

/// The state in a line.
fn status(health: &Health) -> String {
    let state = health.readiness();
    let stored = health.stats().snapshot();
    let running = state
        .sources
        .iter()
        .filter(|source| source.state == "running");
    let mut text = format!(
        "{} spans stored, {} changed; lag {:.1} s; spool {}; {} of {} sources running",
        stored.inserted,
        stored.updated,
        state.lag_s,
        match state.spool_bytes {
            0 => "empty".to_owned(),
            bytes => format!("{} KiB", bytes.div_ceil(1024)),
        },
        running.count(),
        state.sources.len()
    );
    if let Some(problem) = state.problems.first() {
        text = format!("{text}; {problem}");
    }
    // One line is one assignment.
    text.replace(['\n', '\r'], " ")
}

fn is_heard() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// Sends states with a text. Not on the runtime's own threads: a manager that does not read makes the
/// socket block.
async fn tell(status: String, states: Vec<NotifyState<'static>>) {
    let sent = tokio::task::spawn_blocking(move || {
        let mut all: Vec<NotifyState<'_>> = states;
        all.push(NotifyState::Status(&status));
        sd_notify::notify(&all)
    });
    match sent.await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => tracing::warn!(%error, "cannot tell the service manager"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::pipeline::Stats;

    #[test]
    fn a_stage_that_does_not_move_is_named_and_not_taken_for_alive() {
        let stats = Arc::new(Stats::default());
        let pulse = stats.pulse("writer 3");
        let health = Health::new(stats);
        assert!(state(&health, Duration::ZERO).1);
        pulse.work();
        std::thread::sleep(Duration::from_millis(2));
        assert!(state(&health, STUCK).1);
        let (text, alive) = state(&health, Duration::from_millis(1));
        assert!(text.starts_with("writer 3 has not moved"), "{text}");
        assert!(!alive);
        pulse.rest();
        assert!(state(&health, Duration::from_millis(1)).1);
    }
}
