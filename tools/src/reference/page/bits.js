"use strict";
// Numbers and bits: what the page shares with the decoder of the command line.

const hex = (value, bytes) => "0x" + value.toString(16).padStart(2 * bytes, "0");
const offsetName = (offset) => offset.toString(16).toUpperCase().padStart(3, "0") + "h";
const maskOf = (width) => (1n << BigInt(width)) - 1n;
const placeOf = (row) => (row.high === row.low ? `${row.low}` : `${row.high}:${row.low}`);

// 0x1f, 1fh or 31, with _ where it helps; null for anything else.
function number(text) {
  const plain = text.trim().replaceAll("_", "").toLowerCase();
  const digits = /^0x([0-9a-f]+)$/.exec(plain) ?? /^([0-9a-f]+)h$/.exec(plain);
  if (digits) return BigInt("0x" + digits[1]);
  return /^[0-9]+$/.test(plain) ? BigInt(plain) : null;
}

// A value cut into its bits; together they are the value again.
function cut(rows, bytes, value) {
  const all = rows.length ? rows : [{ name: null, high: 8 * bytes - 1, low: 0, meaning: "", values: [] }];
  return all.map((row) => {
    const part = (value >> BigInt(row.low)) & maskOf(row.high - row.low + 1);
    const choice = row.values.find(([of]) => BigInt(of) === part);
    return { row, value: part, standsFor: choice ? choice[1] : null };
  });
}

const encode = (parts) => parts.reduce((value, part) => value | (part.value << BigInt(part.row.low)), 0n);

// The bits that are not zero, a text each, as the command line writes them.
function words(rows, bytes, value) {
  const parts = cut(rows, bytes, value);
  if (parts.length === 1 && parts[0].row.name === null) return [];
  return parts
    .filter((part) => part.value !== 0n || (part.standsFor && part.row.high !== part.row.low))
    .map(({ row, value, standsFor }) => {
      const number = row.high === row.low ? "" : ` = 0x${value.toString(16)}`;
      const says = row.name === null ? "should be 0" : row.meaning + (standsFor ? `: ${standsFor}` : "");
      return `${placeOf(row)}  ${row.name ?? "reserved"}${number}: ${says}`;
    });
}

// The 4096 bytes that a dump in hexadecimal stands for; an Error with what is wrong in words.
// What the dump leaves out is zero. The formats are those of `cargo vmcb-docs --decode`.
function readDump(text) {
  const size = 4096;
  const isLog = text.includes("vmcb+");
  let vmcb = new Uint8Array(size);
  let hasOffsets = false, isRepeated = false, next = 0, rowBytes = 0;
  const goTo = (offset) => {
    if (offset > size) {
      throw new Error(`offset 0x${offset.toString(16)} is beyond a VMCB's ${size} bytes (with od, -A x makes offsets hexadecimal)`);
    }
    // A row that is repeated fills what is before the offset.
    if (isRepeated) for (let at = next; at < offset; at++) vmcb[at] = vmcb[at - rowBytes];
    isRepeated = false;
    next = offset;
  };
  const put = ({ offset, bytes }) => {
    if (isLog && offset < next) vmcb = new Uint8Array(size);
    goTo(offset);
    goTo(offset + bytes.length);
    vmcb.set(bytes, offset);
    rowBytes = bytes.length;
  };
  for (const line of text.split(/\r?\n/).map((line) => line.trim())) {
    const [, logged] = isLog ? line.split(/vmcb\+(.*)/s) : [];
    const row = isLog ? logged && behindColon(logged) : behindColon(line) ?? behindOffset(line);
    if (row) {
      hasOffsets = true;
      put(row);
    } else if (isLog) {
      continue;
    } else if (line === "*") {
      isRepeated = true;
    } else if (hasOffsets && /^[0-9a-f]{5,8}$/i.test(line)) {
      goTo(parseInt(line, 16));
      rowBytes = 0;
    } else {
      const bytes = digits(line);
      if (bytes) put({ offset: next, bytes });
    }
  }
  if (next === 0) throw new Error("there is no VMCB in it: no line of hexadecimal bytes");
  goTo(size);
  return vmcb;
}

// 060: 0f 00 …, 00000060: 0f00 …  …
function behindColon(line) {
  const [, offset, row] = /^([0-9a-f]+):\s*(.*)$/i.exec(line) ?? [];
  // Two blanks come before the characters that the bytes are.
  const bytes = row && digits(row.split("  ")[0]);
  return bytes && { offset: parseInt(offset, 16), bytes };
}

// 00000060  0f 00 …  |….|, or 000060 000f 0000 …: numbers of one size, the low byte first.
function behindOffset(line) {
  // A bar or an arrow comes before the characters that the bytes are.
  const [offset, ...numbers] = line.split(/[|>]/)[0].trim().split(/\s+/);
  // Among groups of its own size the first is no offset.
  if (!/^[0-9a-f]{5,}$/i.test(offset) || offset.length === (numbers[0] ?? offset).length) return null;
  const all = numbers.map(digits);
  return all.includes(null) ? null : { offset: parseInt(offset, 16), bytes: Uint8Array.from(all.flatMap((bytes) => [...bytes].reverse())) };
}

function digits(text) {
  const plain = text.replace(/\s+/g, "");
  if (plain === "" || plain.length % 2 !== 0 || !/^[0-9a-f]+$/i.test(plain)) return null;
  return Uint8Array.from(plain.match(/../g), (byte) => parseInt(byte, 16));
}

// The number that a field of a VMCB holds.
const fieldOf = (vmcb, field) =>
  vmcb.subarray(field.offset, field.offset + field.bytes).reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
