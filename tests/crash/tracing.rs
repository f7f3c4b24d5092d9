//! A tracer that sees every system call of a child that changes files, before
//! it is made and after it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::child::{Ending, Ready};
use crate::use_cases::UseCase;

/// What a system call does to the tree. Paths are below its root, each
/// component after a `/`; the root itself is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Create(String),
    /// Changes bytes of a file, or its length.
    Write(String),
    /// Changes a file's times.
    Touch(String),
    MakeDirectory(String),
    RemoveDirectory(String),
    Rename(String, String),
    Remove(String),
    SyncFile(String),
    SyncDirectory(String),
    /// All of the file system.
    SyncAll,
    /// Takes a lock if nobody has it.
    TryLock(String),
}

/// What to do about a system call that is about to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Make,
    /// Kill the process before it.
    Kill,
    /// Do not make it, and return this.
    Fail(Errno),
    /// Do not make it, and say that it was made.
    Pretend,
}

/// Sees the system calls of a child.
pub(crate) trait Observer {
    /// One is about to be made.
    fn before(&mut self, action: &Action) -> Verdict;

    /// One was made, and has succeeded.
    fn after(&mut self, _action: &Action) {}
}

/// Performs a use case on the store in `root` in a child, before the eyes of
/// an observer.
pub(crate) fn perform(use_case: UseCase, root: &Path, observer: &mut dyn Observer) -> Ending {
    perform_below(use_case, root, root, observer)
}

/// As [`perform`], where what is seen is all below a directory that the store is
/// somewhere in.
pub(crate) fn perform_below(
    use_case: UseCase,
    directory: &Path,
    root: &Path,
    observer: &mut dyn Observer,
) -> Ending {
    let mut child = Ready::start(use_case, root);
    let pid = Pid::from_raw(child.process.id().cast_signed());
    let mut tracer = Tracer {
        pid,
        root: directory.to_owned(),
        memory: None,
        calls: HashMap::new(),
    };
    tracer.attach();
    child.go();
    tracer.follow(observer);
    child.ending()
}

struct Tracer {
    pid: Pid,
    root: PathBuf,
    memory: Option<File>,
    /// What the threads that are in a system call do in it.
    calls: HashMap<Pid, Option<Made>>,
}

struct Made {
    action: Action,
    /// What it returns if it is not made.
    instead: Option<i64>,
}

impl Tracer {
    /// Stops all threads of the child, and lets them go on to their next call.
    fn attach(&mut self) {
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_EXITKILL;
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid)).expect("a process");
        for thread in threads {
            let name = thread.expect("a thread").file_name();
            let thread =
                Pid::from_raw(name.to_str().and_then(|id| id.parse().ok()).expect("an id"));
            ptrace::seize(thread, options).expect("tracing children is allowed here");
            ptrace::interrupt(thread).expect("it is traced");
            waitpid(thread, Some(WaitPidFlag::__WALL)).expect("it stops");
            ptrace::syscall(thread, None).expect("it goes on");
        }
        let memory = File::open(format!("/proc/{}/mem", self.pid));
        self.memory = Some(memory.expect("the memory of what is traced"));
    }

    /// Follows the child to its end.
    fn follow(&mut self, observer: &mut dyn Observer) {
        // Only what this thread has started: other tests have children, too.
        let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        loop {
            match waitpid(None, Some(flags)).expect("the child is there") {
                WaitStatus::Exited(thread, _) | WaitStatus::Signaled(thread, _, _) => {
                    if thread == self.pid {
                        return;
                    }
                }
                WaitStatus::PtraceSyscall(thread) => {
                    self.syscall(thread, observer);
                    go_on(thread, None);
                }
                WaitStatus::Stopped(thread, signal) => go_on(thread, Some(signal)),
                WaitStatus::PtraceEvent(thread, _, _) => go_on(thread, None),
                WaitStatus::Continued(_) | WaitStatus::StillAlive => {}
            }
        }
    }

    /// A thread enters a system call or leaves it.
    fn syscall(&mut self, thread: Pid, observer: &mut dyn Observer) {
        let Ok(mut registers) = ptrace::getregs(thread) else {
            // It was killed meanwhile.
            return;
        };
        match self.calls.remove(&thread) {
            None => {
                let action = self.action(&registers);
                let made = action.map(|action| {
                    let instead = match observer.before(&action) {
                        Verdict::Make => None,
                        Verdict::Kill => {
                            kill(self.pid, Signal::SIGKILL).expect("it is there");
                            None
                        }
                        Verdict::Fail(errno) => Some(-i64::from(errno as i32)),
                        Verdict::Pretend => Some(0),
                    };
                    if instead.is_some() {
                        // No system call has this number, so none is made.
                        registers.orig_rax = u64::MAX;
                        ptrace::setregs(thread, registers).expect("it is stopped");
                    }
                    Made { action, instead }
                });
                self.calls.insert(thread, made);
            }
            Some(None) => {}
            Some(Some(Made { action, instead })) => match instead {
                Some(result) => {
                    registers.rax = result.cast_unsigned();
                    ptrace::setregs(thread, registers).expect("it is stopped");
                }
                None if registers.rax.cast_signed() >= 0 => observer.after(&action),
                None => {}
            },
        }
    }

    /// What a system call will do to the tree, if anything.
    fn action(&self, registers: &libc::user_regs_struct) -> Option<Action> {
        const CURRENT: u64 = libc::AT_FDCWD as u32 as u64;
        let [first, second, third, fourth] =
            [registers.rdi, registers.rsi, registers.rdx, registers.r10];
        match registers.orig_rax.cast_signed() {
            libc::SYS_open => self.open(&self.path(CURRENT, first)?, second),
            libc::SYS_openat => self.open(&self.path(first, second)?, third),
            libc::SYS_creat => self.open(&self.path(CURRENT, first)?, CREATE | TRUNCATE),
            libc::SYS_mkdir => self.make(&self.path(CURRENT, first)?),
            libc::SYS_mkdirat => self.make(&self.path(first, second)?),
            libc::SYS_rename => {
                self.rename(&self.path(CURRENT, first)?, &self.path(CURRENT, second)?)
            }
            libc::SYS_renameat | libc::SYS_renameat2 => {
                self.rename(&self.path(first, second)?, &self.path(third, fourth)?)
            }
            libc::SYS_unlink => self.below(&self.path(CURRENT, first)?).map(Action::Remove),
            libc::SYS_rmdir => self
                .below(&self.path(CURRENT, first)?)
                .map(Action::RemoveDirectory),
            libc::SYS_unlinkat => {
                let path = self.below(&self.path(first, second)?)?;
                match third & libc::AT_REMOVEDIR as u64 {
                    0 => Some(Action::Remove(path)),
                    _ => Some(Action::RemoveDirectory(path)),
                }
            }
            libc::SYS_write
            | libc::SYS_writev
            | libc::SYS_pwrite64
            | libc::SYS_pwritev
            | libc::SYS_pwritev2
            | libc::SYS_ftruncate
            | libc::SYS_fallocate => self.opened(first).map(Action::Write),
            libc::SYS_utimensat => self.opened(first).map(Action::Touch),
            libc::SYS_fsync | libc::SYS_fdatasync => {
                let path = self.opened(first)?;
                match self.root.join(path.trim_start_matches('/')).is_dir() {
                    true => Some(Action::SyncDirectory(path)),
                    false => Some(Action::SyncFile(path)),
                }
            }
            libc::SYS_flock if second & libc::LOCK_NB as u64 != 0 => {
                self.opened(first).map(Action::TryLock)
            }
            libc::SYS_syncfs => self.opened(first).map(|_| Action::SyncAll),
            call @ (libc::SYS_link
            | libc::SYS_linkat
            | libc::SYS_symlink
            | libc::SYS_symlinkat
            | libc::SYS_truncate
            | libc::SYS_copy_file_range
            | libc::SYS_sync
            | libc::SYS_sync_file_range
            | libc::SYS_io_uring_enter) => {
                panic!("system call {call} changes files in a way that is not looked at")
            }
            _ => None,
        }
    }

    /// Opening a file changes something if it makes or cuts the file.
    fn open(&self, path: &Path, flags: u64) -> Option<Action> {
        let below = self.below(path)?;
        match (path.exists(), flags & CREATE != 0, flags & TRUNCATE != 0) {
            (false, true, _) => Some(Action::Create(below)),
            (true, _, true) => Some(Action::Write(below)),
            _ => None,
        }
    }

    fn make(&self, path: &Path) -> Option<Action> {
        let below = self.below(path)?;
        (!path.exists()).then_some(Action::MakeDirectory(below))
    }

    fn rename(&self, from: &Path, to: &Path) -> Option<Action> {
        Some(Action::Rename(self.below(from)?, self.below(to)?))
    }

    /// The file that a descriptor is of.
    fn opened(&self, descriptor: u64) -> Option<String> {
        self.below(&self.descriptor(descriptor)?)
    }

    fn descriptor(&self, descriptor: u64) -> Option<PathBuf> {
        fs::read_link(format!("/proc/{}/fd/{}", self.pid, descriptor as i32)).ok()
    }

    /// The path at an address, relative to an open directory.
    fn path(&self, directory: u64, address: u64) -> Option<PathBuf> {
        const LONGEST: usize = 4096;
        let memory = self.memory.as_ref().expect("it is attached");
        let mut path = Vec::new();
        while path.len() < LONGEST {
            let mut byte = [0];
            memory
                .read_exact_at(&mut byte, address + path.len() as u64)
                .ok()?;
            if byte == [0] {
                break;
            }
            path.extend(byte);
        }
        let path = PathBuf::from(String::from_utf8(path).ok()?);
        match directory as i32 == libc::AT_FDCWD {
            true => Some(path),
            false => Some(self.descriptor(directory)?.join(path)),
        }
    }

    fn below(&self, path: &Path) -> Option<String> {
        let below = path.strip_prefix(&self.root).ok()?.to_str()?;
        Some(match below {
            "" => String::new(),
            below => format!("/{below}"),
        })
    }
}

const CREATE: u64 = libc::O_CREAT as u64;
const TRUNCATE: u64 = libc::O_TRUNC as u64;

fn go_on(thread: Pid, signal: Option<Signal>) {
    // One that was killed meanwhile is gone.
    match ptrace::syscall(thread, signal) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(error) => panic!("a traced thread does not go on: {error}"),
    }
}
