//! Completions and manual pages, made from the description of the command line. Needs neither
//! configuration nor database.

use std::io;
use std::path::Path;

use anyhow::Context as _;
use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::cli::Arguments;
use crate::render;

const NAME: &str = "beacon-collector";

/// Prints the completions for a shell.
pub(super) fn completions(shell: Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), NAME, &mut script);
    Ok(render::print(&String::from_utf8(script)?)?)
}

/// Prints the manual page, or writes those of all commands into a folder.
pub(super) fn man(folder: Option<&Path>) -> anyhow::Result<()> {
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    let Some(folder) = folder else {
        return Ok(render::print(&String::from_utf8(page(&command)?)?)?);
    };
    std::fs::create_dir_all(folder)
        .and_then(|()| write_pages(&command, folder))
        .with_context(|| format!("cannot write manual pages into {}", folder.display()))
}

fn write_pages(command: &Command, folder: &Path) -> io::Result<()> {
    let name = command
        .get_display_name()
        .unwrap_or_else(|| command.get_name());
    std::fs::write(folder.join(format!("{name}.1")), page(command)?)?;
    let mut shown = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    shown.try_for_each(|sub| write_pages(sub, folder))
}

/// A page as the library makes it, but for the examples, which it would run together.
fn page(command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let source = format!("{NAME} {}", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).source(source);
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.get_subcommands().next().is_some() {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(examples) = command.get_after_help() {
        let examples = examples.to_string();
        let lines = examples.trim_start_matches("Examples:\n");
        // Each line begins with a backslash-ampersand, so that none is taken for a request.
        let lines = lines.replace('\\', "\\e").replace('-', "\\-");
        let lines: Vec<_> = lines.lines().map(|line| format!("\\&{line}")).collect();
        page.extend(format!(".SH EXAMPLES\n.nf\n{}\n.fi\n", lines.join("\n")).into_bytes());
    }
    Ok(page)
}
