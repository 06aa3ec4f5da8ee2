//! A whole VMCB read in words.

use std::fmt::Write;

use intercepts::by_code;
use intercepts::vmcb::{Vmcb, validate};

use super::decode::{self, Part};
use super::model::{BitsRow, ExitRow, FieldRow, Reference};

/// The size of a VMCB.
pub const BYTES: usize = 4096;

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
        Ok(()) => "VMRUN would take this VMCB where physical addresses have 52 bits (APM 15.5.1)\n"
            .to_owned(),
        Err(violation) => format!(
            "VMRUN would refuse this VMCB: {}: {} (APM 15.5.1)\n",
            violation.field, violation.rule
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    static REFERENCE: LazyLock<Reference> = LazyLock::new(|| Reference::new(Vec::new()));

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn any_4096_bytes_survive_being_cut_and_put_together(bytes in vec(any::<u8>(), BYTES)) {
            let vmcb: [u8; BYTES] = bytes.clone().try_into().unwrap();
            prop_assert_eq!(cut(&REFERENCE, &vmcb).encode(), bytes);
        }
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
