//! A PC's sixteen interrupt lines, whichever controllers bring them.

/// Vector of line 0; line 15 has the sixteenth.
pub const FIRST_VECTOR: u8 = 0x20;

/// The sixteen lines. Each `line` is below 16.
pub trait IsaLines {
    /// Lets `line` interrupt.
    fn enable(&mut self, line: u8);
    /// Keeps `line` from interrupting.
    fn disable(&mut self, line: u8);
    /// Keeps `line`, which has come, from coming again for what it came for, until it is enabled. An
    /// edge meanwhile is not lost.
    fn hold(&mut self, line: u8);
    /// Whether the interrupt of `line` was spurious: no device asked. Then it is over; else it is
    /// to be [ended](Self::end).
    fn is_spurious(&mut self, line: u8) -> bool;
    /// Ends the interrupt of `line`.
    fn end(&mut self, line: u8);
}
