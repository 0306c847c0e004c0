//! The SACK option that we send: what lies beyond a hole (RFC 2018), what came twice (RFC 2883).

use super::slots::Slot;
use crate::device::Pool;
use crate::wire::Seq;
use crate::wire::tcp::{MAX_SACK_BLOCKS, SackBlocks};

impl<C> Slot<C> {
    /// A segment beginning at `seq` came out of order.
    pub(super) fn note_newest(&mut self, seq: Seq) {
        if self.newest[0] != seq {
            self.newest = [seq, self.newest[0], self.newest[1]];
        }
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

    /// The contiguous runs of the out-of-order queue.
    fn runs<'a>(&'a self, pool: &'a Pool) -> impl Iterator<Item = (Seq, Seq)> + 'a {
        let mut at = self.out_of_order.front();
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
}
