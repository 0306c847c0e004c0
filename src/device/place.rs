//! Where frames are, and how many of them where.

/// Where a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Place {
    /// In the pool, for anybody to take.
    Free,
    /// In the device's fill ring (or about to be), to receive into.
    Fill,
    /// Somebody has its token: being processed or built.
    InHand,
    /// Received, in a connection's queue: unread or out of order.
    Received,
    /// Received and kept by the application in an [`RxBuf`](crate::app::RxBuf).
    Held,
    /// In a connection's send queue: not sent, or sent and not yet acknowledged.
    Sending,
    /// With the device only, to be freed at its completion.
    Transmit,
    /// Given back by the application, waiting to be taken off its connection's charge.
    Returned,
}

impl Place {
    /// Number of places.
    pub const COUNT: usize = 8;
    /// All places, in the order of [`Census::frames`].
    pub const ALL: [Place; Place::COUNT] = [
        Place::Free,
        Place::Fill,
        Place::InHand,
        Place::Received,
        Place::Held,
        Place::Sending,
        Place::Transmit,
        Place::Returned,
    ];

    /// Name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Place::Free => "free",
            Place::Fill => "fill",
            Place::InHand => "in_hand",
            Place::Received => "received",
            Place::Held => "held",
            Place::Sending => "sending",
            Place::Transmit => "transmit",
            Place::Returned => "returned",
        }
    }
}

/// Frames by place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Number of frames in each place, in the order of [`Place::ALL`].
    pub frames: [u32; Place::COUNT],
    /// Frames posted to the device and not completed, whatever their place.
    pub posted: u32,
}

impl Census {
    /// Frames in `place`.
    pub fn at(&self, place: Place) -> u32 {
        self.frames[place as usize]
    }
}
