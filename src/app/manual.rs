//! Completions and manual pages, made from the description of the command line. Needs neither
//! configuration nor database.

use std::path::Path;

use anyhow::Context as _;
use clap::CommandFactory as _;
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
        let mut page = Vec::new();
        Man::new(command).render(&mut page)?;
        return Ok(render::print(&String::from_utf8(page)?)?);
    };
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(command, folder))
        .with_context(|| format!("cannot write manual pages into {}", folder.display()))
}
