//! Tables beside that of the connections, for what few of them have.

/// A row for each slot, found by the slot's index, and written when a connection first needs it.
/// The memory is reserved at the start, and touched as rows are needed. All operations are O(1) but
/// for the first use of a row higher than all before.
#[derive(Debug)]
pub(crate) struct Rows<T> {
    rows: Vec<T>,
}

impl<T: Copy + Default> Rows<T> {
    pub(crate) fn new(limit: u32) -> Rows<T> {
        Rows { rows: Vec::with_capacity(limit as usize) }
    }

    /// What is in a row, be it of this connection or of an earlier one; `None` if it was never
    /// used.
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        self.rows.get(index as usize)
    }

    /// The row, whatever is in it.
    pub(crate) fn row(&mut self, index: u32) -> &mut T {
        let index = index as usize;
        if index >= self.rows.len() {
            self.rows.resize(index + 1, T::default());
        }
        &mut self.rows[index]
    }
}
