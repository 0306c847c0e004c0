//! The move-only token for one frame of a [`Pool`](super::Pool).

/// A view of `len` bytes, `start` bytes into one frame of a pool.
///
/// Whoever has the token has the frame: there is never a second one for the same frame, and only
/// the pool and its devices make them. A token that is dropped is a frame that is lost; give it
/// back with [`Pool::release`](super::Pool::release).
// One word of three parts: index, start and length from the lowest bit on. As fields of their own
// they would be written one by one and then handed on as a word, which the processor can't forward
// from three stores that are still under way: it waits for them, a dozen cycles each time.
#[derive(PartialEq, Eq)]
#[must_use = "a dropped frame is lost to its pool: release it"]
pub struct Frame(u64);

const START: u32 = 32;
const LEN: u32 = 48;

impl Frame {
    /// `index` is that among all frames of all pools of this process: no other pool has it.
    #[inline]
    pub(super) const fn new(index: u32, view: View) -> Frame {
        Frame(index as u64 | (view.0 as u64) << START)
    }

    #[inline]
    pub(super) const fn index(&self) -> u32 {
        self.0 as u32
    }

    #[inline]
    pub(super) const fn view(&self) -> View {
        View((self.0 >> START) as u32)
    }

    /// Bytes in the view.
    #[inline]
    pub const fn len(&self) -> usize {
        (self.0 >> LEN) as usize
    }

    /// Whether the view is empty.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Offset of the view's first byte from the start of the frame.
    #[inline]
    pub const fn start(&self) -> usize {
        (self.0 >> START) as u16 as usize
    }

    /// Moves the start of the view `n` bytes forward.
    ///
    /// # Panics
    /// If the view is shorter than that.
    #[inline]
    pub fn advance(&mut self, n: usize) {
        assert!(n <= self.len(), "advance {n} in a view of {}", self.len());
        self.0 = self.0 + ((n as u64) << START) - ((n as u64) << LEN);
    }

    /// Moves the start of the view `n` bytes back, for a header in front of the payload.
    ///
    /// # Panics
    /// If there are fewer bytes before the view.
    #[inline]
    pub fn prepend(&mut self, n: usize) {
        assert!(n <= self.start(), "prepend {n} with {} before", self.start());
        self.0 = self.0 - ((n as u64) << START) + ((n as u64) << LEN);
    }

    /// Cuts the view to its first `n` bytes; nothing happens if it is shorter.
    #[inline]
    pub fn truncate(&mut self, n: usize) {
        let len = self.len().min(n) as u64;
        self.0 = self.0 << (64 - LEN) >> (64 - LEN) | len << LEN;
    }

    /// Makes the view `n` bytes longer at its end: the pool knows whether there is room.
    #[inline]
    pub(super) fn extend(&mut self, n: usize) {
        debug_assert!(self.start() + self.len() + n <= usize::from(u16::MAX));
        self.0 += (n as u64) << LEN;
    }
}

impl core::fmt::Debug for Frame {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut parts = f.debug_struct("Frame");
        parts.field("index", &self.index()).field("start", &self.start()).field("len", &self.len());
        parts.finish()
    }
}

/// Where in its frame a view is: start and length, in one word for the same reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct View(u32);

impl View {
    pub(super) const NOTHING: View = View(0);

    /// Both are less than 2^16, as frames are no longer.
    #[inline]
    pub(super) const fn new(start: usize, len: usize) -> View {
        View(start as u32 & 0xffff | (len as u32) << 16)
    }

    #[inline]
    pub(super) const fn start(self) -> usize {
        self.0 as u16 as usize
    }

    #[inline]
    pub(super) const fn len(self) -> usize {
        (self.0 >> 16) as usize
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
