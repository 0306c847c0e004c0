//! What came beyond a hole, or twice: the segments that wait, and what SACK says of them (RFC 2018,
//! RFC 2883).

use super::reassembly::Reassembly;
use crate::device::{Frame, FrameQueue, FrameRef, Place, Pool};
use crate::wire::Seq;
use crate::wire::tcp::{MAX_SACK_BLOCKS, SackBlocks};

const RECEIVED: Place = Place::Received;

/// The out-of-order queue of one connection. It exists only while there is something in it.
#[derive(Debug)]
pub(crate) struct Disorder {
    /// Received beyond a hole, by sequence number, without overlaps.
    pub(super) queue: FrameQueue,
    /// Where the last segments out of order began, the latest first: their blocks are reported in
    /// this order (RFC 2018 section 4).
    newest: [Seq; 3],
    /// A duplicate to be reported with the next ACK (RFC 2883).
    pub(super) duplicate: Option<(Seq, Seq)>,
    /// Frames in the queue.
    pub(super) frames: u16,
}

impl Default for Disorder {
    fn default() -> Disorder {
        Disorder { queue: FrameQueue::new(), newest: [Seq(0); 3], duplicate: None, frames: 0 }
    }
}

impl Disorder {
    /// Nothing waits, and nothing is to be reported.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.duplicate.is_none()
    }

    /// Bytes beyond the first hole.
    pub(super) fn bytes(&self) -> u32 {
        self.queue.bytes()
    }

    /// Gives all frames back. RFC 2018 section 8 allows it even for what was reported.
    pub(super) fn clear(&mut self, pool: &Pool, budget: &mut Reassembly) {
        self.queue.clear(pool, RECEIVED);
        budget.give_back(core::mem::take(&mut self.frames));
    }

    /// Takes the frame behind `before` out.
    pub(super) fn remove(
        &mut self,
        before: FrameRef,
        pool: &Pool,
        budget: &mut Reassembly,
    ) -> Option<Frame> {
        let frame = self.queue.remove_after(pool, before, RECEIVED)?;
        self.frames -= 1;
        budget.give_back(1);
        Some(frame)
    }

    /// A segment beginning at `seq` came out of order.
    pub(super) fn note_newest(&mut self, seq: Seq) {
        if self.newest[0] != seq {
            self.newest = [seq, self.newest[0], self.newest[1]];
        }
    }

    /// RFC 2883 section 4.2: the first part of a segment that came before is reported.
    pub(super) fn came_twice(&mut self, from: Seq, to: Seq) {
        self.duplicate = match self.duplicate {
            Some((first, end)) if end == from => Some((first, to)),
            None if to.after(from) => Some((from, to)),
            before => before,
        };
    }

    /// The blocks to report: a duplicate, then those that segments came for most recently, the
    /// latest first (RFC 2018 section 4), then the others from the lowest on. With timestamps there
    /// is room for one fewer.
    pub(super) fn blocks(&self, pool: &Pool, timestamps: bool) -> SackBlocks {
        let room = MAX_SACK_BLOCKS - usize::from(timestamps);
        let mut blocks = SackBlocks::EMPTY;
        if let Some((left, right)) = self.duplicate {
            blocks.push(left, right);
        }
        let first = blocks.len();
        let mut report = |run: (Seq, Seq)| {
            let known = blocks.iter().skip(first).any(|block| block == run);
            if !known && blocks.len() < room {
                blocks.push(run.0, run.1);
            }
        };
        for newest in self.newest {
            let holds = |run: &(Seq, Seq)| newest.at_or_after(run.0) && newest.before(run.1);
            self.runs(pool).find(holds).into_iter().for_each(&mut report);
        }
        self.runs(pool).take(MAX_SACK_BLOCKS).for_each(&mut report);
        blocks
    }

    /// The contiguous runs of the queue.
    fn runs<'a>(&'a self, pool: &'a Pool) -> impl Iterator<Item = (Seq, Seq)> + 'a {
        let mut at = self.queue.front();
        core::iter::from_fn(move || {
            let first = at.some()?;
            let left = Seq(pool.seq(first));
            let mut right = left + pool.queued_len(first);
            at = pool.next(first);
            while let Some(next) = at.some().filter(|next| Seq(pool.seq(*next)) == right) {
                right += pool.queued_len(next);
                at = pool.next(next);
            }
            Some((left, right))
        })
    }

    /// Where a segment repeats bytes that are here already, those that came first count, whatever
    /// the later ones say: nobody can change what was acknowledged, or what another reader on the
    /// path has seen. Whether it said something else.
    pub(super) fn first_come_first_kept(&self, frame: &mut Frame, seq: Seq, pool: &Pool) -> bool {
        let end = seq + frame.len() as u32;
        if self.is_beyond_all(seq, pool) {
            return false;
        }
        let mut contradicts = false;
        let mut at = self.queue.front();
        while let Some(here) = at.some() {
            let (first, last) = span(pool, here);
            if first.at_or_after(end) {
                break;
            }
            if last.after(seq) {
                let (from, to) = (first.max(seq), last.min(end));
                let part =
                    |base: Seq| base.distance_to(from) as usize..base.distance_to(to) as usize;
                let kept = &pool.queued_bytes(here)[part(first)];
                let new = &mut pool.bytes_mut(frame)[part(seq)];
                if kept != new {
                    contradicts = true;
                    new.copy_from_slice(kept);
                }
            }
            at = pool.next(here);
        }
        contradicts
    }

    /// Whether nothing in the queue lies at or behind `seq`: so it mostly is.
    fn is_beyond_all(&self, seq: Seq, pool: &Pool) -> bool {
        self.queue.back().some().is_none_or(|last| span(pool, last).1.at_or_before(seq))
    }

    /// The last frame that begins at or before `seq`.
    pub(super) fn last_at_or_before(&self, seq: Seq, pool: &Pool) -> FrameRef {
        if self.is_beyond_all(seq, pool) {
            return self.queue.back();
        }
        let (mut before, mut at) = (FrameRef::NONE, self.queue.front());
        while let Some(here) = at.some().filter(|here| Seq(pool.seq(*here)).at_or_before(seq)) {
            (before, at) = (here, pool.next(here));
        }
        before
    }
}

/// Sequence numbers of the first byte of a queued frame, and of the one behind its last.
pub(super) fn span(pool: &Pool, at: FrameRef) -> (Seq, Seq) {
    let first = Seq(pool.seq(at));
    (first, first + pool.queued_len(at))
}
