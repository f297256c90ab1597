//! What was found, and how it is told.

use std::fmt::Write as _;

use serde::Serialize;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, but somebody should look at it.
    Warn,
    /// Something does not work.
    Fail,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub about: String,
    /// How bad it is.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do; none where nothing needs to be done.
    pub remedy: Option<String>,
}

/// All findings, in the order in which they were made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The findings.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Enters that something is as it should be.
    pub fn fine(&mut self, about: &str, found: &str) {
        self.add(about, Verdict::Ok, found, None);
    }

    /// Enters what somebody should look at.
    pub fn warn(&mut self, about: &str, found: &str, remedy: &str) {
        self.add(about, Verdict::Warn, found, Some(remedy));
    }

    /// Enters what does not work.
    pub fn fail(&mut self, about: &str, found: &str, remedy: &str) {
        self.add(about, Verdict::Fail, found, Some(remedy));
    }

    /// How many findings are so bad.
    pub fn count(&self, verdict: Verdict) -> usize {
        let all = self.findings.iter();
        all.filter(|finding| finding.verdict == verdict).count()
    }

    /// The findings in words, each with a mark of its verdict made by `mark`.
    pub fn in_words(&self, mark: impl Fn(Verdict, &str) -> String) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            let word = match finding.verdict {
                Verdict::Ok => "ok  ",
                Verdict::Warn => "warn",
                Verdict::Fail => "FAIL",
            };
            let word = mark(finding.verdict, word);
            // Writing to a String can't fail.
            let _ = writeln!(text, "{word}  {}: {}", finding.about, finding.found);
            if let Some(remedy) = &finding.remedy {
                let _ = writeln!(text, "      → {remedy}");
            }
        }
        let _ = writeln!(
            text,
            "{} checks: {} ok, {} to look at, {} failed",
            self.findings.len(),
            self.count(Verdict::Ok),
            self.count(Verdict::Warn),
            self.count(Verdict::Fail)
        );
        text
    }

    fn add(&mut self, about: &str, verdict: Verdict, found: &str, remedy: Option<&str>) {
        self.findings.push(Finding {
            about: about.to_owned(),
            verdict,
            found: found.to_owned(),
            remedy: remedy.map(ToOwned::to_owned),
        });
    }
}
