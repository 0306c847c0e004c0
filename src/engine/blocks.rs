//! The SACK option that we send: what lies beyond a hole (RFC 2018), what came twice (RFC 2883).

use super::slots::Slot;
use crate::device::Pool;
use crate::wire::Seq;
use crate::wire::tcp::{MAX_SACK_BLOCKS, SackBlocks};

impl<C> Slot<C> {
    /// The blocks to report, the most recent first: a duplicate, then the block that the last
    /// segment belongs to, then the others from the lowest on (RFC 2018 section 4). With timestamps
    /// there is room for one fewer.
    pub(super) fn blocks(&self, pool: &Pool, timestamps: bool) -> SackBlocks {
        let room = MAX_SACK_BLOCKS - usize::from(timestamps);
        let mut blocks = SackBlocks::EMPTY;
        if let Some((left, right)) = self.duplicate {
            blocks.push(left, right);
        }
        let newest = self.runs(pool).find(|(left, right)| {
            self.newest_block.at_or_after(*left) && self.newest_block.before(*right)
        });
        if let Some((left, right)) = newest {
            blocks.push(left, right);
        }
        for run in self.runs(pool).filter(|run| Some(*run) != newest) {
            if blocks.len() >= room {
                break;
            }
            blocks.push(run.0, run.1);
        }
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
