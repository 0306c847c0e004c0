//! The move-only token for one frame of a [`Pool`](super::Pool).

/// A view of `len` bytes, `start` bytes into one frame of a pool.
///
/// Whoever has the token has the frame: there is never a second one for the same frame, and only
/// the pool and its devices make them. A token that is dropped is a frame that is lost; give it
/// back with [`Pool::release`](super::Pool::release).
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a dropped frame is lost to its pool: release it"]
pub struct Frame {
    /// Index among all frames of all pools of this process: no other pool has it.
    pub(super) index: u32,
    pub(super) start: u16,
    pub(super) len: u16,
}

impl Frame {
    /// Bytes in the view.
    #[inline]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether the view is empty.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Offset of the view's first byte from the start of the frame.
    #[inline]
    pub const fn start(&self) -> usize {
        self.start as usize
    }

    /// Moves the start of the view `n` bytes forward.
    ///
    /// # Panics
    /// If the view is shorter than that.
    #[inline]
    pub fn advance(&mut self, n: usize) {
        assert!(n <= self.len(), "advance {n} in a view of {}", self.len);
        self.start += n as u16;
        self.len -= n as u16;
    }

    /// Moves the start of the view `n` bytes back, for a header in front of the payload.
    ///
    /// # Panics
    /// If there are fewer bytes before the view.
    #[inline]
    pub fn prepend(&mut self, n: usize) {
        assert!(n <= self.start(), "prepend {n} with {} before", self.start);
        self.start -= n as u16;
        self.len += n as u16;
    }

    /// Cuts the view to its first `n` bytes; nothing happens if it is shorter.
    #[inline]
    pub fn truncate(&mut self, n: usize) {
        self.len = self.len.min(n.min(usize::from(u16::MAX)) as u16);
    }
}

/// The name of a frame that some [`FrameQueue`](super::FrameQueue) holds. Owns nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameRef(pub(super) u32);

impl FrameRef {
    /// No frame.
    pub(crate) const NONE: FrameRef = FrameRef(u32::MAX);

    /// `None` for [`FrameRef::NONE`].
    #[inline]
    pub(crate) fn some(self) -> Option<FrameRef> {
        (self != FrameRef::NONE).then_some(self)
    }
}
