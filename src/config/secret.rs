//! Where secrets come from, and how they are kept out of what is printed.

use std::path::Path;

use super::ConfigError;

/// What stands in place of a secret.
const MASK: &str = "***";

/// The first line of a file that is neither empty nor a comment; none where there is no such line.
pub fn first_line(what: &'static str, path: &Path) -> Result<Option<String>, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        what,
        path: path.to_owned(),
        source,
    })?;
    let mut lines = text.lines().map(str::trim);
    Ok(lines
        .find(|line| !line.is_empty() && !line.starts_with('#'))
        .map(ToOwned::to_owned))
}

/// Whether a database URL holds a password.
pub fn has_password(url: &str) -> bool {
    masked(url) != url
}

/// A database URL as it may be printed: its password masked, all else as it is.
pub fn masked(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let (rest, query) = rest
        .split_once('?')
        .map_or((rest, None), |(a, b)| (a, Some(b)));
    let (authority, path) = rest
        .split_once('/')
        .map_or((rest, None), |(a, b)| (a, Some(b)));
    // The last @, because people forget to encode one in a password.
    let authority = match authority.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((user, _)) => format!("{user}:{MASK}@{host}"),
            None => authority.to_owned(),
        },
        None => authority.to_owned(),
    };
    let mut text = format!("{scheme}://{authority}");
    if let Some(path) = path {
        text = format!("{text}/{path}");
    }
    if let Some(query) = query {
        let pairs: Vec<String> = query
            .split('&')
            .map(|pair| match pair.split_once('=') {
                Some((key, _)) if key.contains("password") => format!("{key}={MASK}"),
                _ => pair.to_owned(),
            })
            .collect();
        text = format!("{text}?{}", pairs.join("&"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_masked_wherever_it_stands() {
        let word = ["hun", "ter2"].concat();
        for (url, shown) in [
            (
                format!("postgres://me:{word}@db.example/beacon?sslmode=require"),
                "postgres://me:***@db.example/beacon?sslmode=require",
            ),
            (
                format!("postgres://me:a@{word}@db.example:5432/beacon"),
                "postgres://me:***@db.example:5432/beacon",
            ),
            (
                format!("postgres://db.example/beacon?user=me&password={word}"),
                "postgres://db.example/beacon?user=me&password=***",
            ),
        ] {
            assert_eq!(masked(&url), shown);
            assert!(has_password(&url));
        }
        for url in ["sqlite:/var/lib/x.db", "postgres://me@db.example/beacon"] {
            assert_eq!(masked(url), url);
            assert!(!has_password(url));
        }
    }
}
