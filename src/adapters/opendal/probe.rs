//! Whether a bucket does what the store relies on, found out by doing it.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::future::try_join_all;
use uuid::Uuid;

use super::OpendalStore;
use super::bucket::{Condition, Put};
use crate::ports::StoreError;

/// How many writers meet at a key, of whom one may win.
const WRITERS: usize = 8;

/// Clocks that differ by more are worth a word.
const NOTEWORTHY: i64 = 60_000;

/// What was found out of one point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What was looked at.
    pub point: &'static str,
    /// Whether it is as it should be.
    pub holds: bool,
    /// Whether the store can do without.
    pub is_optional: bool,
    /// What was seen, in words.
    pub seen: String,
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match (self.holds, self.is_optional) {
            (true, _) => "ok  ",
            (false, true) => "warn",
            (false, false) => "FAIL",
        };
        write!(formatter, "{mark}  {}: {}", self.point, self.seen)
    }
}

impl OpendalStore {
    /// Tries the bucket out, and leaves nothing behind.
    ///
    /// # Errors
    /// When the bucket cannot be used at all.
    pub async fn probe(&self) -> Result<Vec<Verdict>, StoreError> {
        let directory = format!("probe/{}/", Uuid::new_v4());
        let verdicts = self.try_out(&directory).await;
        for name in ["1", "2", "3", "race"] {
            let _ = self.bucket().delete(&format!("{directory}{name}")).await;
        }
        verdicts
    }

    /// Whether the bucket answers at all.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.bucket().get("probe/ping").await.map(drop)
    }

    async fn try_out(&self, directory: &str) -> Result<Vec<Verdict>, StoreError> {
        Ok(vec![
            self.try_create(directory).await?,
            self.try_compare(directory).await?,
            self.try_list(directory).await?,
            self.try_link(directory).await?,
            self.compare_clocks(),
        ])
    }

    /// Of many that create an object one does.
    async fn try_create(&self, directory: &str) -> Result<Verdict, StoreError> {
        let key = format!("{directory}race");
        let winners = self.race(&key, &Condition::Absent).await?.len();
        Ok(Verdict {
            point: "create if absent (If-None-Match: *)",
            holds: winners == 1,
            is_optional: false,
            seen: match winners {
                1 => format!("of {WRITERS} at once one created the object"),
                0 => "nobody could create an object".to_owned(),
                many => format!("{many} of {WRITERS} were told that they created the same object"),
            },
        })
    }

    /// Of many that replace the same version one does, and none replaces
    /// another version.
    async fn try_compare(&self, directory: &str) -> Result<Verdict, StoreError> {
        let key = format!("{directory}race");
        let Some(there) = self.bucket().get(&key).await? else {
            return Ok(compared(false, "the object just written is not there"));
        };
        let condition = Condition::Matches(there.etag);
        let winners = self.race(&key, &condition).await?.len();
        if winners != 1 {
            let seen = format!("{winners} of {WRITERS} replaced the same version of an object");
            return Ok(compared(false, seen));
        }
        let stale = self.bucket().put_if(&key, &content(), &condition).await?;
        Ok(match stale {
            Put::Refused => compared(
                true,
                format!("of {WRITERS} at once one replaced the object"),
            ),
            Put::Written(_) => compared(false, "a version that was gone could be replaced"),
        })
    }

    async fn race(&self, key: &str, condition: &Condition) -> Result<Vec<Put>, StoreError> {
        let writes = (0..WRITERS).map(|_| async {
            let content = content();
            self.bucket().put_if(key, &content, condition).await
        });
        let mut outcomes = try_join_all(writes).await?;
        outcomes.retain(|outcome| *outcome != Put::Refused);
        Ok(outcomes)
    }

    /// What was just written is listed, in order.
    async fn try_list(&self, directory: &str) -> Result<Verdict, StoreError> {
        for name in ["3", "1", "2"] {
            let key = format!("{directory}{name}");
            self.bucket().put_fresh(&key, content().into()).await?;
        }
        let start = Some(format!("{directory}1"));
        let listed = self.bucket().list(directory, start, 10).await?;
        let keys: Vec<String> = listed.map_ok(|object| object.key).try_collect().await?;
        let wanted = ["2", "3", "race"].map(|name| format!("{directory}{name}"));
        let holds = keys == wanted;
        Ok(Verdict {
            point: "lists show what was just written, in order",
            holds,
            is_optional: false,
            seen: match holds {
                true => "they do".to_owned(),
                false => format!("{keys:?} instead of {wanted:?}"),
            },
        })
    }

    /// A link gives a part of an object.
    async fn try_link(&self, directory: &str) -> Result<Verdict, StoreError> {
        let key = format!("{directory}1");
        let url = self.bucket().presign(&key, Duration::from_secs(60)).await?;
        let seen = self.bucket().fetch_part(&url, 2, 5).await;
        let (holds, seen) = match seen {
            Ok((206, 3)) => (true, "206 with the bytes asked for".to_owned()),
            Ok((status, length)) => (false, format!("{status} with {length} bytes instead of 3")),
            Err(error) => (false, error.to_string()),
        };
        Ok(Verdict {
            point: "links to objects, with Range (for redirects)",
            holds,
            is_optional: self.options().redirect.is_none(),
            seen,
        })
    }

    fn compare_clocks(&self) -> Verdict {
        let ahead = self.clock().ahead_millis();
        Verdict {
            point: "clock",
            holds: ahead.abs() < NOTEWORTHY,
            is_optional: true,
            seen: match ahead {
                0 => "as the bucket's".to_owned(),
                ahead => format!(
                    "the bucket's is {} s {} this machine's; the bucket's counts",
                    ahead.abs() / 1000,
                    if ahead > 0 { "ahead of" } else { "behind" },
                ),
            },
        }
    }
}

fn compared(holds: bool, seen: impl Into<String>) -> Verdict {
    Verdict {
        point: "compare and swap (If-Match)",
        holds,
        is_optional: false,
        seen: seen.into(),
    }
}

fn content() -> Bytes {
    Uuid::new_v4().to_string().into()
}
