//! The fuzzer's bytes, read as a program.

/// What is left of the bytes.
pub(super) struct Instructions<'a>(std::slice::Iter<'a, u8>);

/// One operation, and how it is run.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// After how many polls the operation's future is dropped and the process
    /// restarted, if it has not ended by then.
    pub(super) dropped_after: Option<usize>,
    pub(super) operation: Operation,
}

/// What is asked of the registry. Numbers choose among what there is, such as
/// the repositories or the sessions that are open.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    Begin {
        repository: usize,
        sha512: bool,
        content: usize,
    },
    Append {
        upload: usize,
        chunk: Chunk,
    },
    Finish {
        upload: usize,
        chunk: Chunk,
        wrong_digest: bool,
        sha512: bool,
    },
    Status {
        upload: usize,
        repository: usize,
    },
    Cancel {
        upload: usize,
        repository: usize,
    },
    Push {
        repository: usize,
        content: usize,
        sha512: bool,
        chunk: Chunk,
        wrong_digest: bool,
    },
    Mount {
        repository: usize,
        content: usize,
        sha512: bool,
        from: Option<usize>,
    },
    DeleteBlob {
        repository: usize,
        content: usize,
        sha512: bool,
    },
    PutManifest {
        repository: usize,
        document: Document,
        target: Target,
    },
    DeleteTag {
        repository: usize,
        tag: usize,
    },
    DeleteManifest {
        repository: usize,
        manifest: usize,
    },
    Page {
        repository: usize,
        limit: usize,
    },
    ExpireUploads,
    Wait {
        hours: u64,
    },
    Damage {
        content: usize,
        sha512: bool,
        removed: bool,
    },
    Verify,
    Restart,
}

/// A piece of a blob on its way in.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    pub(super) length: Length,
    /// In how many pieces it comes.
    pub(super) pieces: usize,
    pub(super) offset: Offset,
    pub(super) announced: Announced,
    pub(super) end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    Bytes(usize),
    Rest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offset {
    Unsaid,
    Right,
    Wrong,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Announced {
    Unsaid,
    Right,
    Longer,
    Shorter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Whole,
    Interrupted,
    TimedOut,
}

/// A manifest in the making.
#[derive(Clone, Debug)]
pub(super) struct Document {
    pub(super) kind: Kind,
    pub(super) subject: Option<usize>,
    pub(super) artifact_type: Option<&'static str>,
    pub(super) fault: Fault,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Image {
        config: usize,
        layers: Vec<usize>,
        foreign: bool,
    },
    Index {
        children: Vec<usize>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    Ambiguous,
    TooLarge,
}

#[derive(Clone, Debug)]
pub(super) enum Target {
    Tag(usize, Condition),
    Digest {
        sha512: bool,
        wrong: bool,
        tags: Vec<usize>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    None,
    Absent,
    Present,
    Current,
    Other,
}

impl<'a> Instructions<'a> {
    pub(super) fn new(program: &'a [u8]) -> Self {
        Self(program.iter())
    }

    /// One of `options`; the first when the program has ended.
    pub(super) fn pick<T: Clone>(&mut self, options: &[T]) -> T {
        options[self.number() % options.len()].clone()
    }

    fn number(&mut self) -> usize {
        self.0.next().copied().unwrap_or(0).into()
    }

    fn flag(&mut self) -> bool {
        self.number() % 2 == 1
    }

    /// Mostly `false`.
    fn rarely(&mut self) -> bool {
        self.number() % 8 == 7
    }

    fn some(&mut self) -> Option<usize> {
        let number = self.number();
        (number % 2 == 1).then_some(number / 2)
    }

    fn several(&mut self) -> Vec<usize> {
        let count = self.number() % 4;
        (0..count).map(|_| self.number()).collect()
    }

    /// The next step, or `None` at the program's end.
    pub(super) fn step(&mut self) -> Option<Step> {
        let code = usize::from(*self.0.next()?);
        let dropped_after = (code >= 192).then(|| self.number() % 12);
        let operation = match code % 64 {
            0..4 => Operation::Begin {
                repository: self.number(),
                sha512: self.rarely(),
                content: self.number(),
            },
            4..12 => Operation::Append {
                upload: self.number(),
                chunk: self.chunk(),
            },
            12..18 => Operation::Finish {
                upload: self.number(),
                chunk: self.chunk(),
                wrong_digest: self.rarely(),
                sha512: self.rarely(),
            },
            18 => Operation::Status {
                upload: self.number(),
                repository: self.number(),
            },
            19 => Operation::Cancel {
                upload: self.number(),
                repository: self.number(),
            },
            20..28 => Operation::Push {
                repository: self.number(),
                content: self.number(),
                sha512: self.rarely(),
                chunk: self.chunk(),
                wrong_digest: self.rarely(),
            },
            28..31 => Operation::Mount {
                repository: self.number(),
                content: self.number(),
                sha512: self.rarely(),
                from: self.some(),
            },
            31..33 => Operation::DeleteBlob {
                repository: self.number(),
                content: self.number(),
                sha512: self.rarely(),
            },
            33..46 => Operation::PutManifest {
                repository: self.number(),
                document: self.document(),
                target: self.target(),
            },
            46..49 => Operation::DeleteTag {
                repository: self.number(),
                tag: self.number(),
            },
            49..53 => Operation::DeleteManifest {
                repository: self.number(),
                manifest: self.number(),
            },
            53..55 => Operation::Page {
                repository: self.number(),
                limit: self.number() % 5,
            },
            55 => Operation::ExpireUploads,
            56 => Operation::Wait {
                hours: self.number() as u64,
            },
            57..59 => Operation::Damage {
                content: self.number(),
                sha512: self.rarely(),
                removed: self.flag(),
            },
            59 => Operation::Verify,
            _ => Operation::Restart,
        };
        Some(Step {
            dropped_after,
            operation,
        })
    }

    fn chunk(&mut self) -> Chunk {
        Chunk {
            length: self.pick(&[
                Length::Rest,
                Length::Rest,
                Length::Bytes(0),
                Length::Bytes(1),
                Length::Bytes(63),
                Length::Bytes(8 * 1024),
                Length::Bytes(60_000),
                Length::Bytes(530_000),
            ]),
            pieces: 1 + self.number() % 3,
            offset: self.pick(&[Offset::Unsaid, Offset::Right, Offset::Right, Offset::Wrong]),
            announced: self.pick(&[
                Announced::Unsaid,
                Announced::Right,
                Announced::Right,
                Announced::Right,
                Announced::Right,
                Announced::Longer,
                Announced::Shorter,
            ]),
            end: self.pick(&[
                End::Whole,
                End::Whole,
                End::Whole,
                End::Whole,
                End::Interrupted,
                End::TimedOut,
            ]),
        }
    }

    fn document(&mut self) -> Document {
        Document {
            kind: match self.number() % 3 {
                0 | 1 => Kind::Image {
                    config: self.number(),
                    layers: self.several(),
                    foreign: self.rarely(),
                },
                _ => Kind::Index {
                    children: self.several(),
                },
            },
            subject: self.some(),
            artifact_type: self.pick(&[
                None,
                Some("application/vnd.example.a"),
                Some("application/vnd.example.b"),
            ]),
            fault: match self.number() % 16 {
                14 => Fault::Ambiguous,
                15 => Fault::TooLarge,
                _ => Fault::None,
            },
        }
    }

    fn target(&mut self) -> Target {
        if self.flag() {
            Target::Digest {
                sha512: self.rarely(),
                wrong: self.rarely(),
                tags: self.several(),
            }
        } else {
            let tag = self.number();
            let condition = self.pick(&[
                Condition::None,
                Condition::None,
                Condition::None,
                Condition::Absent,
                Condition::Present,
                Condition::Current,
                Condition::Other,
            ]);
            Target::Tag(tag, condition)
        }
    }
}
