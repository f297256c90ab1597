//! A connection string as people copy it from their provider, turned into what the driver can honour.
//!
//! Invariant: nothing that was asked for in the name of security is dropped in silence, and neither
//! errors nor logs repeat a value of the string.

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::store::StoreError;

/// Reads a `postgres://` or `postgresql://` URL.
pub(super) fn parse(url: &str) -> Result<PgConnectOptions, StoreError> {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let parameters = Parameters::read(query);
    let cleaned = format!("{base}?{}", parameters.kept.join("&"));
    let options: PgConnectOptions = cleaned.parse().map_err(|err: sqlx::Error| {
        StoreError::Configuration(format!(
            "cannot read the database URL: {err}; the form is \
             postgres://USER:PASSWORD@HOST:PORT/DATABASE with one host, and special characters in the \
             password written as %XX"
        ))
    })?;
    let mut options = parameters.secure(options)?;
    if options.get_application_name().is_none() {
        options = options.application_name("beacon-collector");
    }
    // Named statements and session settings don't survive a pooler in transaction mode.
    Ok(options
        .statement_cache_capacity(0)
        .extra_float_digits(None)
        .disable_statement_logging())
}

#[derive(Debug, Default)]
struct Parameters<'a> {
    kept: Vec<&'a str>,
    binds_channel: bool,
    names_tls_mode: bool,
    names_root: bool,
}

impl<'a> Parameters<'a> {
    fn read(query: &'a str) -> Self {
        let mut parameters = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                "channel_binding" => parameters.binds_channel = value == "require",
                "sslmode" | "ssl-mode" => {
                    parameters.names_tls_mode = true;
                    parameters.kept.push(pair);
                }
                // libpq's word for the roots that are used anyway.
                "sslrootcert" if value == "system" => {}
                "sslrootcert" | "ssl-root-cert" | "ssl-ca" => {
                    parameters.names_root = true;
                    parameters.kept.push(pair);
                }
                "host" | "hostaddr" | "port" | "dbname" | "user" | "password" | "sslcert"
                | "ssl-cert" | "sslkey" | "ssl-key" | "application_name" => {
                    parameters.kept.push(pair);
                }
                // Poolers refuse them at connect, and no statement here depends on a setting.
                _ => tracing::warn!(
                    parameter = key,
                    "this parameter of the database URL has no effect here"
                ),
            }
        }
        parameters
    }

    fn secure(&self, mut options: PgConnectOptions) -> Result<PgConnectOptions, StoreError> {
        if self.binds_channel {
            if self.names_tls_mode && matches!(options.get_ssl_mode(), PgSslMode::Disable) {
                return Err(StoreError::Configuration(
                    "the database URL asks for channel_binding=require and sslmode=disable at once; \
                     channel binding needs TLS: use sslmode=verify-full"
                        .to_owned(),
                ));
            }
            tracing::info!(
                "channel_binding=require: the driver can't bind the channel; the server's certificate \
                 and host name are verified instead (sslmode=verify-full)"
            );
            options = options.ssl_mode(PgSslMode::VerifyFull);
        }
        // As libpq does: who names a root wants the certificate checked.
        if self.names_root && matches!(options.get_ssl_mode(), PgSslMode::Require) {
            options = options.ssl_mode(PgSslMode::VerifyCa);
        }
        let verifies = matches!(
            options.get_ssl_mode(),
            PgSslMode::VerifyCa | PgSslMode::VerifyFull
        );
        // The public roots are built in; a company's own one is named as everywhere else.
        if let (true, false, Some(file)) =
            (verifies, self.names_root, std::env::var_os("SSL_CERT_FILE"))
        {
            options = options.ssl_root_cert(file);
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(query: &str) -> PgSslMode {
        parse(&format!("postgres://someone@db.example/beacon{query}"))
            .unwrap()
            .get_ssl_mode()
    }

    #[test]
    fn required_channel_binding_becomes_full_verification() {
        let asked = mode("?sslmode=require&channel_binding=require");
        assert!(matches!(asked, PgSslMode::VerifyFull));
        assert!(matches!(
            mode("?channel_binding=require"),
            PgSslMode::VerifyFull
        ));
        assert!(matches!(mode("?channel_binding=prefer"), PgSslMode::Prefer));
    }

    #[test]
    fn channel_binding_without_tls_is_refused() {
        let err = parse("postgres://db.example/beacon?sslmode=disable&channel_binding=require");
        assert!(err.unwrap_err().to_string().contains("verify-full"));
    }

    #[test]
    fn a_named_root_is_used_to_check_the_certificate() {
        let asked = mode("?sslmode=require&sslrootcert=/etc/ssl/db.pem");
        assert!(matches!(asked, PgSslMode::VerifyCa));
        assert!(matches!(mode("?sslmode=require"), PgSslMode::Require));
    }

    #[test]
    fn settings_that_poolers_refuse_are_left_out() {
        let options = parse(
            "postgresql://db.example/beacon?options=-c%20statement_timeout%3D0&pgbouncer=true\
             &options[search_path]=app&connect_timeout=10",
        )
        .unwrap();
        assert_eq!(options.get_options(), None);
        assert_eq!(options.get_application_name(), Some("beacon-collector"));
    }

    #[test]
    fn an_unreadable_url_is_explained_without_its_password() {
        let password = ["hun", "ter2"].concat();
        for url in [
            format!("postgres://me:{password}@a:1,b:2/db"),
            format!("postgres://me:{password}@host:port/db"),
            format!("postgres://me:{password}@host/db?sslmode=sometimes"),
        ] {
            let text = parse(&url).unwrap_err().to_string();
            assert!(text.contains("%XX"), "{text}");
            assert!(!text.contains(&password), "{text}");
        }
    }
}
