//! What the standard environment variables ask for. Nothing else turns the export on. What can't be done
//! is said in a remark and never keeps the program from starting; values that can hold a secret are in
//! no remark.

use std::time::Duration;

use reqwest::Url;

/// How long sending may take, and how often metrics are sent, unless a variable says otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);
const INTERVAL: Duration = Duration::from_secs(60);
/// Where an exporter that was asked for by name sends to.
const DEFAULT_ENDPOINT: &str = "http://localhost:4318";
/// The samplers that there are.
const SAMPLERS: [&str; 6] = [
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];

/// One kind of what is exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signal {
    pub(super) endpoint: String,
    pub(super) timeout: Duration,
}

/// What is exported, and what could not be understood.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) traces: Option<Signal>,
    pub(super) metrics: Option<Signal>,
    pub(super) interval: Duration,
    pub(super) remarks: Vec<String>,
}

impl Settings {
    /// Reads variables; empty ones count as unset, as the specification has it.
    pub(super) fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let mut settings = Self {
            interval: INTERVAL,
            ..Self::default()
        };
        if variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return settings;
        }
        let reader = Reader {
            variable: &variable,
        };
        let mut remarks = Vec::new();
        for (name, signal) in [
            ("TRACES", &mut settings.traces),
            ("METRICS", &mut settings.metrics),
        ] {
            *signal = reader.signal(name).unwrap_or_else(|remark| {
                let signal = name.to_lowercase();
                remarks.push(format!("own {signal} are not exported: {remark}"));
                None
            });
        }
        if settings.traces.is_some() || settings.metrics.is_some() {
            settings.interval = reader.interval(&mut remarks);
            reader.look_at_the_rest(&mut remarks);
        }
        settings.remarks = remarks;
        settings
    }
}

struct Reader<'a> {
    variable: &'a dyn Fn(&str) -> Option<String>,
}

impl Reader<'_> {
    /// Of a variable that a signal can have for itself: its own, else the general one, and its name.
    fn either(&self, signal: &str, rest: &str) -> Option<(String, String)> {
        let names = [
            format!("OTEL_EXPORTER_OTLP_{signal}_{rest}"),
            format!("OTEL_EXPORTER_OTLP_{rest}"),
        ];
        let mut found = names
            .into_iter()
            .filter_map(|name| Some(((self.variable)(&name)?, name)));
        found.next()
    }

    fn signal(&self, signal: &str) -> Result<Option<Signal>, String> {
        let exporter = format!("OTEL_{signal}_EXPORTER");
        let named = match (self.variable)(&exporter).as_deref() {
            None => false,
            Some("none") => return Ok(None),
            Some("otlp") => true,
            Some(other) => {
                return Err(format!(
                    "{exporter} is {other}; only otlp and none are known"
                ));
            }
        };
        let endpoint = self.either(signal, "ENDPOINT");
        if endpoint.is_none() && !named {
            return Ok(None);
        }
        self.check_protocol(signal)?;
        let (endpoint, name) = endpoint.unwrap_or_else(|| {
            (
                DEFAULT_ENDPOINT.to_owned(),
                "the default endpoint".to_owned(),
            )
        });
        Ok(Some(Signal {
            endpoint: whole(&endpoint, &name, signal)?,
            timeout: self.timeout(signal),
        }))
    }

    fn check_protocol(&self, signal: &str) -> Result<(), String> {
        match self.either(signal, "PROTOCOL") {
            None => Ok(()),
            Some((protocol, _)) if protocol == "http/protobuf" => Ok(()),
            Some((protocol, name)) if protocol == "grpc" => Err(format!(
                "{name} is grpc, which is not built in; set it to http/protobuf and the endpoint to the \
                 receiver's port for HTTP, 4318 as a rule"
            )),
            Some((protocol, name)) => Err(format!(
                "{name} is {protocol}; the only one that is built in is http/protobuf"
            )),
        }
    }

    fn timeout(&self, signal: &str) -> Duration {
        let given = self.either(signal, "TIMEOUT");
        let milliseconds = given.and_then(|(value, _)| value.parse().ok());
        milliseconds
            .filter(|milliseconds| *milliseconds > 0)
            .map_or(TIMEOUT, Duration::from_millis)
    }

    fn interval(&self, remarks: &mut Vec<String>) -> Duration {
        let name = "OTEL_METRIC_EXPORT_INTERVAL";
        let Some(given) = (self.variable)(name) else {
            return INTERVAL;
        };
        match given.parse() {
            Ok(milliseconds) if milliseconds > 0 => Duration::from_millis(milliseconds),
            _ => {
                remarks.push(format!(
                    "{name} is {given}; expected milliseconds; metrics are exported every 60 s"
                ));
                INTERVAL
            }
        }
    }

    /// Says what the exporters themselves would pass over in silence.
    fn look_at_the_rest(&self, remarks: &mut Vec<String>) {
        let name = "OTEL_TRACES_SAMPLER";
        let sampler = (self.variable)(name).filter(|given| !SAMPLERS.contains(&given.as_str()));
        if let Some(given) = sampler {
            remarks.push(format!(
                "{name} is {given}, which is not known; every trace is exported; expected one of {}",
                SAMPLERS.join(", ")
            ));
        }
        for name in ["HEADERS", "TRACES_HEADERS", "METRICS_HEADERS"] {
            let name = format!("OTEL_EXPORTER_OTLP_{name}");
            let given = (self.variable)(&name).unwrap_or_default();
            let mut parts = given.split_terminator(',');
            if parts.any(|part| !part.contains('=')) {
                remarks.push(format!(
                    "a part of {name} is not NAME=VALUE and is not sent"
                ));
            }
        }
    }
}

/// The address that is sent to: the general endpoint is a beginning of it, a signal's own is it.
fn whole(endpoint: &str, name: &str, signal: &str) -> Result<String, String> {
    let url = Url::parse(endpoint.trim()).ok();
    let url = url.filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
    let Some(mut url) = url else {
        return Err(format!(
            "{name} is not an address; expected one such as {DEFAULT_ENDPOINT}"
        ));
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!(
            "{name} has a user or password in it, which would not be sent; use OTEL_EXPORTER_OTLP_HEADERS"
        ));
    }
    if !name.contains(signal) {
        let path = url.path().trim_end_matches('/');
        url.set_path(&format!("{path}/v1/{}", signal.to_lowercase()));
    }
    Ok(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Settings {
        Settings::read(|name| {
            let mut found = variables.iter().filter(|(known, _)| *known == name);
            found.next().map(|(_, value)| (*value).to_owned())
        })
    }

    fn endpoints(settings: &Settings) -> [Option<&str>; 2] {
        [&settings.traces, &settings.metrics]
            .map(|signal| signal.as_ref().map(|signal| signal.endpoint.as_str()))
    }

    const GENERAL: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://receiver:4318/");

    #[test]
    fn nothing_is_exported_unless_an_endpoint_or_exporter_is_named() {
        for variables in [
            &[][..],
            &[("OTEL_SERVICE_NAME", "x"), ("OTEL_TRACES_SAMPLER", "y")],
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")],
            &[GENERAL, ("OTEL_SDK_DISABLED", "true")],
            &[
                GENERAL,
                ("OTEL_TRACES_EXPORTER", "none"),
                ("OTEL_METRICS_EXPORTER", "none"),
            ],
        ] {
            let settings = read(variables);
            assert_eq!(endpoints(&settings), [None, None], "{variables:?}");
            assert!(settings.remarks.is_empty(), "{settings:?}");
        }
    }

    #[test]
    fn a_signal_has_its_own_endpoint_or_a_path_below_the_general_one() {
        let both = read(&[GENERAL]);
        let traces = "http://receiver:4318/v1/traces";
        let metrics = "http://receiver:4318/v1/metrics";
        assert_eq!(endpoints(&both), [Some(traces), Some(metrics)]);
        let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://other/t");
        assert_eq!(endpoints(&read(&[own])), [Some("https://other/t"), None]);
        let mixed = read(&[own, GENERAL]);
        assert_eq!(endpoints(&mixed), [Some("https://other/t"), Some(metrics)]);
        let named = read(&[("OTEL_METRICS_EXPORTER", "otlp")]);
        let default = "http://localhost:4318/v1/metrics";
        assert_eq!(endpoints(&named), [None, Some(default)]);
    }

    #[test]
    fn what_cannot_be_done_is_said_with_its_variable_and_never_with_a_secret() {
        let secret = ["to", "ken-of-mine"].concat();
        for (name, value, said) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "http/json"),
            ("OTEL_TRACES_EXPORTER", "zipkin", "zipkin"),
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                secret.as_str(),
                "not an address",
            ),
            ("OTEL_EXPORTER_OTLP_HEADERS", secret.as_str(), "NAME=VALUE"),
            ("OTEL_TRACES_SAMPLER", "often", "always_on"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "0", "60 s"),
        ] {
            let settings = read(&[(name, value), GENERAL]);
            let remarks = settings.remarks.join("\n");
            assert!(remarks.contains(name), "{name}: {remarks}");
            assert!(remarks.contains(said), "{name}: {remarks}");
            assert!(!remarks.contains(&secret), "{remarks}");
            assert_eq!(settings.interval, INTERVAL);
        }
    }
}
