//! Messages from other threads to connections: one bounded lock-free queue per core.

use std::sync::Arc;

use crossbeam_queue::ArrayQueue;

use super::conn_id::{ConnId, CoreId};
use crate::device::Waker;

/// Packets that may wait for a core to which they were passed on.
const STRAYS: usize = 1_024;

#[derive(Debug)]
struct Inbox<M> {
    queue: ArrayQueue<(ConnId, M)>,
    /// Packets that came to another core's queue although their connection may be here.
    strays: ArrayQueue<Box<[u8]>>,
    waker: Waker,
}

/// Posts messages to connections of any core, from any thread.
#[derive(Debug)]
pub struct Mailbox<M>(Arc<[Inbox<M>]>);

impl<M> Clone for Mailbox<M> {
    fn clone(&self) -> Mailbox<M> {
        Mailbox(Arc::clone(&self.0))
    }
}

/// Why [`Mailbox::post`] gave the message back.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostError<M> {
    /// The core's queue is full: it is slower than those who post.
    #[error("the message queue of the connection's core is full")]
    Full(M),
    /// The name is of a core that this server does not have.
    #[error("the connection's name is of no core of this server")]
    NoSuchCore(M),
}

impl<M: Send> Mailbox<M> {
    /// Posts `message` to `App::on_message` of the connection. If the connection is gone by then,
    /// the message is dropped and counted.
    ///
    /// # Errors
    /// [`PostError`], with the message.
    pub fn post(&self, to: ConnId, message: M) -> Result<(), PostError<M>> {
        let Some(inbox) = self.0.get(usize::from(to.core().0)) else {
            return Err(PostError::NoSuchCore(message));
        };
        inbox.queue.push((to, message)).map_err(|(_, message)| PostError::Full(message))?;
        inbox.waker.wake();
        Ok(())
    }
}

/// The receiving ends, one per core, made before the cores start.
#[derive(Debug)]
pub(crate) struct Inboxes;

impl Inboxes {
    /// A mailbox and one reader per waker, in the order of the cores.
    pub(crate) fn make<M: Send>(
        wakers: &[Waker],
        capacity: usize,
    ) -> (Mailbox<M>, Vec<MailboxReader<M>>) {
        let inboxes: Arc<[Inbox<M>]> = wakers
            .iter()
            .map(|waker| Inbox {
                queue: ArrayQueue::new(capacity),
                strays: ArrayQueue::new(STRAYS),
                waker: waker.clone(),
            })
            .collect();
        let readers = (0..wakers.len())
            .map(|core| MailboxReader { inboxes: Arc::clone(&inboxes), core })
            .collect();
        (Mailbox(inboxes), readers)
    }
}

/// One core's end of the mailbox.
#[derive(Debug)]
pub(crate) struct MailboxReader<M> {
    inboxes: Arc<[Inbox<M>]>,
    core: usize,
}

impl<M> MailboxReader<M> {
    pub(crate) fn pop(&self) -> Option<(ConnId, M)> {
        let queue = &self.inboxes[self.core].queue;
        // To find it empty by popping costs a memory fence, in each turn.
        if queue.is_empty() { None } else { queue.pop() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        let inbox = &self.inboxes[self.core];
        inbox.queue.is_empty() && inbox.strays.is_empty()
    }

    /// Whether there are other cores.
    pub(crate) fn has_others(&self) -> bool {
        self.inboxes.len() > 1
    }

    /// Gives all other cores a copy of a packet that none of ours wants. Where the queue is full,
    /// it is lost there, as a packet may be.
    pub(crate) fn pass_on(&self, packet: &[u8]) {
        for (core, inbox) in self.inboxes.iter().enumerate() {
            if core != self.core && inbox.strays.push(packet.into()).is_ok() {
                inbox.waker.wake();
            }
        }
    }

    /// A packet that another core passed on.
    pub(crate) fn pop_stray(&self) -> Option<Box<[u8]>> {
        self.inboxes[self.core].strays.pop()
    }
}

/// What the factory of a core's application is told.
#[derive(Debug)]
pub struct CoreContext<M> {
    /// Which core the application will run on.
    pub core: CoreId,
    /// How many cores the server has.
    pub cores: usize,
    /// Posts messages to connections of any core.
    pub mailbox: Mailbox<M>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_and_a_foreign_core_give_the_message_back() {
        let waker = Waker::new().expect("eventfd");
        let (mailbox, readers) = Inboxes::make::<u32>(&[waker], 1);
        let id = ConnId::new(CoreId(0), 3, 7);
        assert_eq!(mailbox.post(id, 1), Ok(()));
        assert_eq!(mailbox.post(id, 2), Err(PostError::Full(2)));
        assert_eq!(mailbox.post(ConnId::new(CoreId(1), 3, 7), 3), Err(PostError::NoSuchCore(3)));
        assert_eq!(readers[0].pop(), Some((id, 1)));
        assert!(readers[0].is_empty());
    }
}
