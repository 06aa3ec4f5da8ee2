//! A whole VMCB read in words, from a dump: binary, or hexadecimal in the format of the VMM's log,
//! of `xxd`, of `hexdump -C`, or nothing but digits.

use std::fmt::Write;

use intercepts::by_code;
use intercepts::vmcb::{Vmcb, validate};

use super::decode::{self, Part};
use super::model::{BitsRow, ExitRow, FieldRow, Reference};

/// The size of a VMCB.
pub const BYTES: usize = 4096;

/// What a line of the VMM's log begins with, before the offset.
const MARK: &str = "vmcb+";

/// A VMCB, cut into its fields.
#[derive(Debug)]
pub struct Decoded<'r> {
    /// The fields and reserved ranges with their contents; they tile the VMCB.
    pub fields: Vec<(&'r FieldRow, Contents<'r>)>,
    /// The exit that it tells of, if it is a known one.
    pub exit: Option<&'r ExitRow>,
}

/// What a field holds.
#[derive(Debug)]
pub enum Contents<'r> {
    /// A value of up to 16 bytes, cut into its bits.
    Parts(Vec<Part<'r>>),
    /// Bytes of a longer range.
    Bytes(Vec<u8>),
}

/// Cuts a VMCB into its fields.
pub fn cut<'r>(reference: &'r Reference, vmcb: &[u8; BYTES]) -> Decoded<'r> {
    let code = Vmcb::from_bytes(vmcb).control.exit_code;
    let exit =
        by_code(code).and_then(|exit| reference.exits.iter().find(|row| row.name == exit.name));
    let fields = reference.fields.iter().map(|field| {
        let bytes = vmcb
            .get(field.offset..field.offset + field.bytes)
            .unwrap_or_default();
        let contents = if bytes.len() <= 16 {
            let value = bytes
                .iter()
                .rev()
                .fold(0, |value, byte| value << 8 | u128::from(*byte));
            Contents::Parts(decode::cut(bits_of(field, exit), field.bytes, value))
        } else {
            Contents::Bytes(bytes.to_vec())
        };
        (field, contents)
    });
    Decoded {
        fields: fields.collect(),
        exit,
    }
}

/// The bits of a field; those of EXITINFO1 and EXITINFO2 are the exit's.
fn bits_of<'r>(field: &'r FieldRow, exit: Option<&'r ExitRow>) -> &'r [BitsRow] {
    match (field.name, exit) {
        ("exit_info1", Some(exit)) => &exit.info1_bits,
        ("exit_info2", Some(exit)) => &exit.info2_bits,
        _ => &field.bits,
    }
}

impl Decoded<'_> {
    /// The bytes of the VMCB again.
    pub fn encode(&self) -> Vec<u8> {
        let mut vmcb = Vec::with_capacity(BYTES);
        for (field, contents) in &self.fields {
            match contents {
                Contents::Parts(parts) => {
                    let value = decode::encode(parts).to_le_bytes();
                    vmcb.extend(value.iter().take(field.bytes));
                }
                Contents::Bytes(bytes) => vmcb.extend(bytes),
            }
        }
        vmcb
    }

    /// The fields that are not zero, in words.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (field, contents) in &self.fields {
            let place = format!("{:03X}h {}", field.offset, field.name);
            match contents {
                Contents::Parts(parts) if decode::encode(parts) == 0 => {}
                Contents::Parts(parts) => {
                    text.push_str(&decode::text(&place, field.bytes, parts));
                    if field.reserved {
                        text.push_str("    reserved: should be 0\n");
                    }
                    if let Some(exit) = self.exit.filter(|_| field.name == "exit_code") {
                        let _ = writeln!(text, "    {}: {}", exit.apm, exit.trigger);
                    }
                }
                Contents::Bytes(bytes) => {
                    let used = bytes.iter().filter(|byte| **byte != 0).count();
                    if used != 0 {
                        let _ = writeln!(text, "{place}: {used} bytes are not 0");
                    }
                }
            }
        }
        text
    }
}

/// What VMRUN would say of a VMCB, on a machine with 52 bits of physical address.
pub fn verdict(vmcb: &[u8; BYTES]) -> String {
    match validate(&Vmcb::from_bytes(vmcb), 1 << 52) {
        Ok(()) => "VMRUN would take this VMCB (APM 15.5.1)\n".to_owned(),
        Err(violation) => format!(
            "VMRUN would refuse this VMCB: {}: {} (APM 15.5.1)\n",
            violation.field, violation.rule
        ),
    }
}

/// Reads a dump. What a hexadecimal dump leaves out is zero.
///
/// # Errors
/// What is wrong with it, in words.
pub fn read(dump: &[u8]) -> Result<[u8; BYTES], String> {
    if let Ok(binary) = <[u8; BYTES]>::try_from(dump) {
        return Ok(binary);
    }
    let text = std::str::from_utf8(dump).map_err(|_| {
        format!(
            "neither text nor a VMCB in binary: a VMCB has {BYTES} bytes, this has {}",
            dump.len()
        )
    })?;
    let mut vmcb = [0; BYTES];
    let is_log = text.contains(MARK);
    let mut next = 0;
    for line in text.lines() {
        let row = if is_log {
            line.split_once(MARK).and_then(|(_, row)| with_offset(row))
        } else {
            with_offset(line).or_else(|| Some((next, digits(line)?)))
        };
        let Some((offset, bytes)) = row else { continue };
        if is_log && offset < next {
            // Offsets start again: another dump, and the last one counts.
            vmcb = [0; BYTES];
        }
        let end = offset.saturating_add(bytes.len());
        let place = vmcb
            .get_mut(offset..end)
            .ok_or_else(|| format!("offset {offset:#x} is beyond a VMCB's {BYTES} bytes"))?;
        place.copy_from_slice(&bytes);
        next = end;
    }
    if next == 0 {
        return Err("there is no VMCB in it: no line of hexadecimal bytes".to_owned());
    }
    Ok(vmcb)
}

/// `060: 0f 00 …`, `00000060  0f 00 …  |….|`, `00000060: 0f00 …  …`
fn with_offset(line: &str) -> Option<(usize, Vec<u8>)> {
    let line = line.trim_start();
    let end = line.find(|character: char| !character.is_ascii_hexdigit())?;
    let (offset, rest) = line.split_at(end);
    let has_colon = rest.starts_with(':');
    // Without a colon an offset is told from bytes by its length.
    if !has_colon && offset.len() < 5 {
        return None;
    }
    let offset = usize::from_str_radix(offset, 16).ok()?;
    let rest = rest.trim_start_matches(':').trim_start();
    // Two spaces, or a bar, come before the characters that the bytes are.
    let row = rest.split(['|']).next().unwrap_or_default();
    let row = if has_colon {
        row.split("  ").next().unwrap_or_default()
    } else {
        row
    };
    Some((offset, digits(row)?))
}

/// Bytes in hexadecimal, with blanks between them or not.
fn digits(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    if digits.is_empty() {
        return None;
    }
    digits
        .chunks(2)
        .map(|pair| {
            let pair = <[u8; 2]>::try_from(pair).ok()?;
            let pair = std::str::from_utf8(&pair).ok()?;
            u8::from_str_radix(pair, 16).ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    static REFERENCE: LazyLock<Reference> = LazyLock::new(|| Reference::new(Vec::new()));

    fn written(vmcb: &[u8], line: impl Fn(usize, &[u8]) -> String) -> String {
        vmcb.chunks(16)
            .enumerate()
            .filter(|(_, row)| row.iter().any(|byte| *byte != 0))
            .map(|(index, row)| line(index * 16, row))
            .collect()
    }

    fn spaced(row: &[u8]) -> String {
        row.iter().map(|byte| format!(" {byte:02x}")).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn any_4096_bytes_survive_being_cut_and_put_together(bytes in vec(any::<u8>(), BYTES)) {
            let vmcb: [u8; BYTES] = bytes.clone().try_into().unwrap();
            prop_assert_eq!(cut(&REFERENCE, &vmcb).encode(), bytes);
        }

        #[test]
        fn every_way_to_write_a_dump_is_read(bytes in vec(any::<u8>(), BYTES)) {
            let xxd = |row: &[u8]| -> String {
                row.chunks(2).map(|pair| format!(" {:02x}{:02x}", pair[0], pair[1])).collect()
            };
            for dump in [
                bytes.clone(),
                written(&bytes, |at, row| format!("error: vmcb+{at:03x}:{}\n", spaced(row))).into(),
                written(&bytes, |at, row| format!("{at:08x}:{}  ab cd\n", xxd(row))).into(),
                written(&bytes, |at, row| format!("{at:08x} {}  |beef|\n", spaced(row))).into(),
                bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>().into_bytes(),
            ] {
                prop_assert_eq!(&read(&dump).unwrap()[..], &bytes[..]);
            }
        }

        #[test]
        fn no_text_breaks_the_reader(text in "\\PC*") {
            let _ = read(text.as_bytes());
        }
    }

    #[test]
    fn of_several_dumps_in_a_log_the_last_counts() {
        let log = "demo| hello\nerror: vmcb+000: 01\nerror: vmcb+010: 02\n\
                   error: vmcb+000: 03\nerror: bye\n";
        let vmcb = read(log.as_bytes()).unwrap();
        assert_eq!((vmcb[0], vmcb[0x10]), (3, 0));
    }

    #[test]
    fn what_is_no_dump_is_refused_in_words() {
        assert!(
            read(b"hello")
                .unwrap_err()
                .contains("no line of hexadecimal")
        );
        assert!(read(&[0xff; 100]).unwrap_err().contains("this has 100"));
        assert!(read(b"vmcb+fff: 01 02").unwrap_err().contains("beyond"));
    }

    #[test]
    fn exit_information_is_read_as_the_exits() {
        let mut vmcb = [0; BYTES];
        (vmcb[0x70], vmcb[0x78]) = (0x7b, 0x41);
        let text = cut(&REFERENCE, &vmcb).text();
        assert!(text.contains("    VMEXIT_IOIO: IN, OUT"), "{text}");
        assert!(text.contains("0  TYPE: Direction: IN or INS"), "{text}");
    }

    #[test]
    fn the_verdict_names_the_field() {
        let verdict = verdict(&[0; BYTES]);
        assert!(verdict.contains("efer: EFER.SVME must be 1"), "{verdict}");
    }
}
