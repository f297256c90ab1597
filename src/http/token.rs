//! Bearer tokens: kept as SHA-256 hashes, compared in constant time, replaced while running.
//!
//! Invariant: the time a check takes does not depend on which token was tried or how much of it is right.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

/// Fewer characters can be guessed.
const MIN_LENGTH: usize = 16;

/// Where a token comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// The hexadecimal SHA-256 of the token.
    Hash(String),
    /// A file whose first line is the token.
    File(PathBuf),
    /// A file with a line `NAME TOKEN` for each; empty lines and those that begin with # don't count.
    List(PathBuf),
}

/// Why a token can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The hash is none.
    #[error("token {name:?}: the hash must be 64 hexadecimal digits (printf %s TOKEN | sha256sum)")]
    Hash {
        /// Name of the token.
        name: String,
    },
    /// The file can't be read.
    #[error("token {name:?}: cannot read {path}: {source}", path = .path.display())]
    File {
        /// Name of the token.
        name: String,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A line of a list is none.
    #[error("tokens file {path}, line {line}: expected NAME TOKEN", path = .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
    },
    /// The token is too short to be safe.
    #[error(
        "token {name:?} is shorter than {MIN_LENGTH} characters; make one with openssl rand -hex 32"
    )]
    Short {
        /// Name of the token.
        name: String,
    },
}

#[derive(Debug, Clone)]
struct Known {
    name: Arc<str>,
    hash: [u8; 32],
}

/// The tokens that are accepted.
#[derive(Debug, Default)]
pub struct Tokens {
    known: RwLock<Vec<Known>>,
    /// Whether there ever was one: taking the last one away closes the door, it doesn't open it.
    wanted: AtomicBool,
}

impl Tokens {
    /// Reads named tokens.
    pub fn read(named: &[(String, TokenSource)]) -> Result<Self, TokenError> {
        let tokens = Self::default();
        tokens.replace(named)?;
        Ok(tokens)
    }

    /// Reads them anew, as after a change of the configuration. On an error the old ones stay.
    pub fn replace(&self, named: &[(String, TokenSource)]) -> Result<(), TokenError> {
        let fresh = read(named)?;
        if !fresh.is_empty() {
            self.wanted.store(true, Ordering::Relaxed);
        }
        *self
            .known
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner()) = fresh;
        Ok(())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Whether any is asked for.
    pub fn are_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// The name of a token.
    pub(super) fn name_of(&self, token: &str) -> Option<Arc<str>> {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let known = self.lock();
        let mut found = Choice::from(0);
        let mut at = 0_u32;
        // All are compared, whichever it is.
        for (position, one) in (0_u32..).zip(known.iter()) {
            let same = one.hash.ct_eq(&hash);
            at.conditional_assign(&position, same);
            found |= same;
        }
        let one = known.get(usize::try_from(at).ok()?)?;
        bool::from(found).then(|| Arc::clone(&one.name))
    }

    fn lock(&self) -> std::sync::RwLockReadGuard<'_, Vec<Known>> {
        // Nothing can panic while it is held.
        self.known
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn read(named: &[(String, TokenSource)]) -> Result<Vec<Known>, TokenError> {
    let mut all = Vec::new();
    for (name, source) in named {
        let hash = match source {
            TokenSource::Hash(digits) => {
                hash_of_digits(digits).ok_or_else(|| TokenError::Hash { name: name.clone() })?
            }
            TokenSource::File(path) => {
                let text = text_of(name, path)?;
                hash_of_token(name, text.lines().next().unwrap_or_default())?
            }
            TokenSource::List(path) => {
                all.extend(read_list(name, path)?);
                continue;
            }
        };
        let name = name.as_str().into();
        all.push(Known { name, hash });
    }
    Ok(all)
}

fn read_list(name: &str, path: &Path) -> Result<Vec<Known>, TokenError> {
    let text = text_of(name, path)?;
    let lines = text.lines().map(str::trim).enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|(at, line)| {
            let wrong = || TokenError::Line {
                path: path.to_owned(),
                line: at + 1,
            };
            let (name, token) = line.split_once(char::is_whitespace).ok_or_else(wrong)?;
            let hash = hash_of_token(name, token)?;
            let name = name.into();
            Ok(Known { name, hash })
        })
        .collect()
}

fn text_of(name: &str, path: &Path) -> Result<String, TokenError> {
    std::fs::read_to_string(path).map_err(|source| TokenError::File {
        name: name.to_owned(),
        path: path.to_owned(),
        source,
    })
}

fn hash_of_token(name: &str, token: &str) -> Result<[u8; 32], TokenError> {
    let token = token.trim();
    if token.len() < MIN_LENGTH {
        return Err(TokenError::Short {
            name: name.to_owned(),
        });
    }
    Ok(Sha256::digest(token.as_bytes()).into())
}

fn hash_of_digits(digits: &str) -> Option<[u8; 32]> {
    let digits = digits.trim();
    if digits.len() != 64 || !digits.is_ascii() {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(digits.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits(token: &str) -> String {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn a_token_is_known_by_its_name_and_others_are_not() {
        let named =
            ["one", "two"].map(|token| (token.to_owned(), TokenSource::Hash(digits(token))));
        let tokens = Tokens::read(&named).unwrap();
        assert_eq!(tokens.name_of("two").as_deref(), Some("two"));
        assert_eq!(tokens.name_of("one").as_deref(), Some("one"));
        assert_eq!(tokens.name_of("three"), None);
        assert_eq!(tokens.name_of(""), None);
    }

    #[test]
    fn a_list_names_its_tokens_and_a_wrong_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        let token = "x".repeat(MIN_LENGTH);
        std::fs::write(&path, format!("# comment\n\nlaptop  {token}\n")).unwrap();
        let named = [("list".to_owned(), TokenSource::List(path.clone()))];
        let tokens = Tokens::read(&named).unwrap();
        assert_eq!(tokens.name_of(&token).as_deref(), Some("laptop"));
        std::fs::write(&path, format!("laptop {token}\n{token}\n")).unwrap();
        let error = Tokens::read(&named).unwrap_err().to_string();
        assert!(error.ends_with("line 2: expected NAME TOKEN"), "{error}");
        assert!(!error.contains(&token), "{error}");
    }

    #[test]
    fn a_mistake_in_new_tokens_leaves_the_old_ones_in_force() {
        let named = vec![("one".to_owned(), TokenSource::Hash(digits("one")))];
        let tokens = Tokens::read(&named).unwrap();
        let broken = vec![("x".to_owned(), TokenSource::Hash("zz".to_owned()))];
        assert!(tokens.replace(&broken).is_err());
        assert_eq!(tokens.name_of("one").as_deref(), Some("one"));
        tokens.replace(&[]).unwrap();
        assert_eq!(tokens.name_of("one"), None);
        assert!(tokens.are_wanted() && !Tokens::default().are_wanted());
    }
}
