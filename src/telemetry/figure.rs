//! What is counted, said once: every figure has its name, its meaning and where it is read, and both
//! the scraped text and the OTLP export are made from that. Keeps no numbers of its own.
//!
//! Invariant: a figure has the same name in both, but for the dot after the prefix.

use std::fmt;
use std::sync::Arc;

use opentelemetry::metrics::{AsyncInstrument, AsyncInstrumentBuilder, Histogram, Meter};
use opentelemetry::{KeyValue, global};
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::SCOPE;

/// The labels of a value.
pub type Labels<'a> = &'a [(&'static str, &'a str)];
/// Takes in the values of a figure.
pub type Say<'a> = &'a mut dyn FnMut(Labels<'_>, f64);

/// What kind of number a figure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Grows, in whole steps.
    Counter,
    /// Grows.
    Sum,
    /// Goes up and down.
    Gauge,
}

/// A figure about an `S`.
#[derive(Debug)]
pub struct Figure<S: 'static> {
    kind: Kind,
    /// Without the prefix; ends in its unit where it has one.
    name: &'static str,
    help: &'static str,
    read: fn(&S, Say<'_>),
}

impl<S> Figure<S> {
    /// A number of things that happened.
    pub const fn counter(name: &'static str, help: &'static str, read: fn(&S, Say<'_>)) -> Self {
        Self::new(Kind::Counter, name, help, read)
    }

    /// An amount that only grows.
    pub const fn sum(name: &'static str, help: &'static str, read: fn(&S, Say<'_>)) -> Self {
        Self::new(Kind::Sum, name, help, read)
    }

    /// A state that is measured.
    pub const fn gauge(name: &'static str, help: &'static str, read: fn(&S, Say<'_>)) -> Self {
        Self::new(Kind::Gauge, name, help, read)
    }

    const fn new(
        kind: Kind,
        name: &'static str,
        help: &'static str,
        read: fn(&S, Say<'_>),
    ) -> Self {
        Self {
            kind,
            name,
            help,
            read,
        }
    }

    fn encode(&self, subject: &S, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Counter | Kind::Sum => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
        };
        let mut family = encoder.encode_descriptor(self.name, self.help, None, kind)?;
        let mut done = Ok(());
        (self.read)(subject, &mut |labels, value| {
            done = done.and_then(|()| match labels {
                [] => self.kind.encode(value, &mut family),
                _ => self.kind.encode(value, &mut family.encode_family(&labels)?),
            });
        });
        done
    }
}

impl Kind {
    fn encode(self, value: f64, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        match self {
            Self::Counter => encoder.encode_counter::<NoLabelSet, _, u64>(&(value as u64), None),
            Self::Sum => encoder.encode_counter::<NoLabelSet, _, u64>(&value, None),
            Self::Gauge => encoder.encode_gauge(&value),
        }
    }
}

/// Writes figures for a scraper.
pub fn encode<S>(
    figures: &[Figure<S>],
    subject: &S,
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    figures
        .iter()
        .try_for_each(|figure| figure.encode(subject, encoder))
}

/// Has figures exported from now on, where an export is configured; each is read when one is due.
pub fn observe<S: Send + Sync>(figures: &'static [Figure<S>], subject: &Arc<S>) {
    let meter = global::meter(SCOPE);
    for figure in figures {
        figure.observe(&meter, Arc::clone(subject));
    }
}

impl<S: Send + Sync> Figure<S> {
    fn observe(&'static self, meter: &Meter, subject: Arc<S>) {
        let name = instrument(self.name);
        match self.kind {
            Kind::Counter => {
                let builder = self.described(meter.u64_observable_counter(name));
                builder
                    .with_callback(self.reader(subject, |value| value as u64))
                    .build();
            }
            Kind::Sum => {
                let builder = self.described(meter.f64_observable_counter(name));
                builder
                    .with_callback(self.reader(subject, |value| value))
                    .build();
            }
            Kind::Gauge => {
                let builder = self.described(meter.f64_observable_gauge(name));
                builder
                    .with_callback(self.reader(subject, |value| value))
                    .build();
            }
        }
    }

    fn described<'a, I, M>(
        &self,
        builder: AsyncInstrumentBuilder<'a, I, M>,
    ) -> AsyncInstrumentBuilder<'a, I, M> {
        builder
            .with_description(self.help)
            .with_unit(unit(self.name))
    }

    fn reader<N>(
        &'static self,
        subject: Arc<S>,
        number: fn(f64) -> N,
    ) -> impl Fn(&dyn AsyncInstrument<N>) + Send + Sync {
        move |observer| {
            (self.read)(&subject, &mut |labels, value| {
                observer.observe(number(value), &attributes(labels));
            });
        }
    }
}

/// How long things take, spread over buckets; exported alone: scrapers have a histogram of their own.
#[derive(Debug)]
pub struct Spread(Option<Histogram<f64>>);

impl Spread {
    /// Counts nothing unless metrics are exported.
    pub fn new(name: &'static str, help: &'static str, bounds: &[f64]) -> Self {
        let histogram = || {
            let meter = global::meter(SCOPE);
            let builder = meter.f64_histogram(instrument(name));
            let builder = builder.with_description(help).with_unit(unit(name));
            builder.with_boundaries(bounds.to_vec()).build()
        };
        Self(super::export::has_metrics().then(histogram))
    }

    /// Enters a value.
    pub fn record(&self, labels: Labels<'_>, value: f64) {
        if let Some(histogram) = &self.0 {
            histogram.record(value, &attributes(labels));
        }
    }
}

/// The name as OpenTelemetry has it. Its standard translation for Prometheus gives back the one that is scraped.
fn instrument(name: &str) -> String {
    format!("{SCOPE}.{name}")
}

/// The unit that a name ends in.
fn unit(name: &str) -> &'static str {
    match name.rsplit_once('_') {
        Some((_, "seconds")) => "s",
        Some((_, "bytes")) => "By",
        _ => "",
    }
}

fn attributes(labels: Labels<'_>) -> Vec<KeyValue> {
    let labels = labels.iter();
    labels
        .map(|(key, value)| KeyValue::new(*key, (*value).to_owned()))
        .collect()
}
