//! Where all output goes: the screen and COM1.
//!
//! A line that may differ from one machine to another begins with `~ `.

use core::fmt::{self, Write};

use guest::screen::Colour;

use super::{serial, vga};

/// Both outputs, as one.
struct Outputs;

impl Write for Outputs {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        vga::write(text);
        serial::write(text);
        Ok(())
    }
}

/// Makes both outputs ready.
pub fn install() {
    serial::install();
    vga::install();
}

/// Shows text; `print!` and `println!` come here.
pub fn write(text: fmt::Arguments<'_>) {
    // Neither output can fail; one that is not there loses its text.
    let _ = Outputs.write_fmt(text);
    vga::place_cursor();
}

/// Shows text and ends the line.
pub fn write_line(text: fmt::Arguments<'_>) {
    write(format_args!("{text}\n"));
}

/// Shows text in a colour, where there are colours.
pub fn print_in(colour: Colour, text: fmt::Arguments<'_>) {
    vga::set_colour(colour);
    write(text);
    vga::set_colour(Colour::LightGrey);
}

/// Shows formatted text on the screen and on COM1.
macro_rules! print {
    ($($text:tt)*) => { $crate::kernel::console::write(format_args!($($text)*)) };
}
pub(crate) use print;

/// Shows formatted text and ends the line.
macro_rules! println {
    () => { $crate::kernel::console::write(format_args!("\n")) };
    ($($text:tt)*) => { $crate::kernel::console::write_line(format_args!($($text)*)) };
}
pub(crate) use println;
