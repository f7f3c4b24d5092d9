//! A timer that is armed late and moved rarely.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use tokio::task::coop::unconstrained;
use tokio::time::{Sleep, sleep_until};

/// Wakes its task when something is overdue.
///
/// What is waited for usually comes in time, and is then waited for anew, so that
/// the time by which it is due moves on and on. The timer does not follow: it
/// stays where it was, and when it fires and nothing is due yet, it is set to
/// what is due then. Only something that is due earlier moves it.
#[derive(Default)]
pub(super) struct Deadline(Option<Armed>);

struct Armed {
    timer: Pin<Box<Sleep>>,
    /// Whom it wakes.
    waker: Waker,
}

impl Deadline {
    /// Ready when `due` has passed.
    pub(super) fn poll(&mut self, context: &mut Context<'_>, due: Instant) -> Poll<()> {
        let due = tokio::time::Instant::from_std(due);
        let armed = self.0.get_or_insert_with(|| Armed {
            timer: Box::pin(sleep_until(due)),
            waker: Waker::noop().clone(),
        });
        let timer = armed.timer.as_mut();
        if timer.is_elapsed() {
            if tokio::time::Instant::now() >= due {
                return Poll::Ready(());
            }
            armed.timer.as_mut().reset(due);
        } else if due < timer.deadline() {
            armed.timer.as_mut().reset(due);
        } else if armed.waker.will_wake(context.waker()) {
            return Poll::Pending;
        }
        armed.waker.clone_from(context.waker());
        // Without the runtime's cooperative budget: a poll that it denied would
        // not have left the waker with the timer. Early is not due; then the
        // timer fires and this is polled again.
        pin!(unconstrained(armed.timer.as_mut())).poll(context)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn what_moves_on_is_due_when_it_stops_moving() {
        let step = Duration::from_millis(10);
        let start = Instant::now();
        let mut deadline = Deadline::default();
        let mut due = start + step;
        let mut polls = 0;
        poll_fn(|context| {
            polls += 1;
            // It moves on twice before it stands still.
            if polls == 2 || polls == 3 {
                due += step;
            }
            deadline.poll(context, due)
        })
        .await;
        assert_eq!(due, start + 3 * step);
        assert!(Instant::now() >= due);
    }

    #[tokio::test]
    async fn what_is_due_earlier_than_the_timer_moves_it() {
        let mut deadline = Deadline::default();
        let far = Instant::now() + Duration::from_secs(3600);
        let near = Instant::now() + Duration::from_millis(10);
        let mut polls = 0;
        poll_fn(|context| {
            polls += 1;
            if polls == 1 {
                context.waker().wake_by_ref();
            }
            deadline.poll(context, if polls == 1 { far } else { near })
        })
        .await;
        assert!(Instant::now() >= near);
    }
}
