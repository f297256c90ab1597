//! Writing results to stdout, and the few colours we use.

use std::io::{IsTerminal as _, Write as _};

/// Writes a result to stdout. A reader that has gone away (`| head`) is no error.
pub fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Whether to colour, decided once for an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint {
    colour: bool,
}

impl Paint {
    /// Colours only on a terminal, and not against `NO_COLOR`.
    pub fn for_stdout() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            colour: wanted && std::io::stdout().is_terminal(),
        }
    }

    /// Never colours.
    pub const fn plain() -> Self {
        Self { colour: false }
    }

    /// Red: something failed.
    pub fn red(self, text: &str) -> String {
        self.wrap(text, "31")
    }

    /// Green: something ended well.
    pub fn green(self, text: &str) -> String {
        self.wrap(text, "32")
    }

    /// Yellow: something is open, late or doubtful.
    pub fn yellow(self, text: &str) -> String {
        self.wrap(text, "33")
    }

    /// Dim: secondary.
    pub fn dim(self, text: &str) -> String {
        self.wrap(text, "2")
    }

    /// Bold: the answer.
    pub fn bold(self, text: &str) -> String {
        self.wrap(text, "1")
    }

    fn wrap(self, text: &str, code: &str) -> String {
        if self.colour && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}
