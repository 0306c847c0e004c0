//! The ranges of a selective acknowledgment (RFC 2018 section 3).

use crate::wire::seq::Seq;

/// SACK blocks in one segment, at most: four fill the 40 bytes of options.
pub const MAX_SACK_BLOCKS: usize = 4;

/// Up to four ranges of sequence numbers, each from its left edge up to but excluding its right
/// one, in the order sent. Nothing is checked: a peer can send any.
#[derive(Clone, Copy, Default)]
pub struct SackBlocks {
    /// Edges beyond `len` mean nothing.
    edges: [[u32; 2]; MAX_SACK_BLOCKS],
    len: u8,
}

impl SackBlocks {
    /// No blocks.
    pub const EMPTY: SackBlocks = SackBlocks { edges: [[0; 2]; MAX_SACK_BLOCKS], len: 0 };

    /// Adds a block behind the others. False, and nothing added, when four are there.
    #[inline]
    pub fn push(&mut self, left: Seq, right: Seq) -> bool {
        match self.edges.get_mut(usize::from(self.len)) {
            Some(edges) => {
                *edges = [left.0, right.0];
                self.len += 1;
                true
            }
            None => false,
        }
    }

    /// Forgets all blocks.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    /// How many blocks there are.
    #[inline]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there is none.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The blocks as (left, right), in the order sent.
    #[inline]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Seq, Seq)> + '_ {
        self.edges.iter().take(self.len()).map(|&[left, right]| (Seq(left), Seq(right)))
    }

    /// Reads the body of the option. None if its length is not that of one to four blocks.
    pub(super) fn parse(body: &[u8]) -> Option<SackBlocks> {
        let (words, rest) = body.as_chunks::<8>();
        if words.is_empty() || !rest.is_empty() {
            return None;
        }
        let mut blocks = SackBlocks::EMPTY;
        for &[a, b, c, d, e, f, g, h] in words {
            let (left, right) = ([a, b, c, d], [e, f, g, h]);
            let (left, right) = (u32::from_be_bytes(left), u32::from_be_bytes(right));
            if !blocks.push(Seq(left), Seq(right)) {
                return None;
            }
        }
        Some(blocks)
    }
}

impl PartialEq for SackBlocks {
    fn eq(&self, other: &SackBlocks) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for SackBlocks {}

impl core::fmt::Debug for SackBlocks {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl FromIterator<(Seq, Seq)> for SackBlocks {
    /// Takes the first four.
    fn from_iter<I: IntoIterator<Item = (Seq, Seq)>>(blocks: I) -> SackBlocks {
        let mut all = SackBlocks::EMPTY;
        for (left, right) in blocks.into_iter().take(MAX_SACK_BLOCKS) {
            all.push(left, right);
        }
        all
    }
}
