//! A child process whose output is read: started in a process group of its own and gone when its
//! owner is.
//!
//! Stopping kills the group, so that what a shell or a wrapper script started goes too. For the case
//! that this process is killed itself, the child is started through `setpriv --pdeathsig` where that
//! is installed (Linux has it in util-linux): the kernel then kills it. Elsewhere a child that
//! outlives us ends when it next writes, because nobody reads its pipe.

use std::ffi::OsStr;
use std::process::{ExitStatus, Stdio};
use std::sync::OnceLock;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

/// A running child; dropping it kills its group.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    group: Option<Pid>,
}

/// What a child prints, and what keeps it alive where it watches its input.
#[derive(Debug)]
pub(super) struct Pipes {
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
}

/// A command that dies with this process where the system offers that.
pub(super) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = if has_setpriv() {
        let mut wrapped = Command::new("setpriv");
        wrapped.args(["--pdeathsig", "KILL", "--"]).arg(program);
        wrapped
    } else {
        Command::new(program)
    };
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    command
}

fn has_setpriv() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let mut probe = std::process::Command::new("setpriv");
        probe.args(["--pdeathsig", "KILL", "--", "true"]);
        let probe = probe
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    })
}

impl Running {
    /// Starts a command made by [`command`].
    pub(super) fn start(command: &mut Command) -> std::io::Result<(Self, Pipes)> {
        let mut child = command.spawn()?;
        let group = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .map(Pid::from_raw);
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let running = Self { child, group };
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(std::io::Error::other("a pipe of the child is missing"));
        };
        Ok((
            running,
            Pipes {
                stdin,
                stdout,
                stderr,
            },
        ))
    }

    /// Waits for the end.
    pub(super) async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        self.child.wait().await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // An error: the whole group has ended already.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}
