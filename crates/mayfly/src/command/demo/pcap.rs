//! Writes one TCP conversation as a pcap file, as if it had been captured: Ethernet, IPv4 and TCP, with right
//! checksums and sequence numbers, so that tshark and Wireshark show what was said. Their dissector takes lengths
//! for little endian unless told `-o 'iso8583.len_endian:Big endian'`.

use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// The port of the listener in the capture, whatever it really was.
const LISTENER_PORT: u16 = 8583;
/// As much as fits into an Ethernet frame.
const SEGMENT_BYTES_MAX: usize = 1460;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Who opened the connection.
    Acquirer,
    /// Who listens.
    Listener,
}

#[derive(Clone, Copy, Debug)]
struct End {
    mac: [u8; 6],
    ip: Ipv4Addr,
    port: u16,
    /// The number of the next byte that it sends.
    sequence: u32,
}

/// A capture of one conversation.
#[derive(Debug)]
pub(crate) struct Capture {
    acquirer: End,
    listener: End,
    /// Numbers the IPv4 packets.
    packets: u16,
    file: Vec<u8>,
}

impl Capture {
    /// Begins with the handshake, from this port of the acquirer's.
    pub(crate) fn begin(port: u16, at: SystemTime) -> Self {
        let end = |last, ip, port, sequence| End { mac: [2, 0, 0, 0, 0, last], ip, port, sequence };
        let ip = |last| Ipv4Addr::new(127, 0, 0, last);
        let mut capture = Self {
            acquirer: end(1, ip(1), port, 1_000),
            listener: end(2, ip(2), LISTENER_PORT, 5_000),
            packets: 0,
            file: Vec::new(),
        };
        // Magic of microseconds, version 2.4, UTC, longest packet, Ethernet.
        capture.file.extend_from_slice(&0xa1b2_c3d4u32.to_le_bytes());
        capture.file.extend_from_slice(&[2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        capture.file.extend_from_slice(&65_535u32.to_le_bytes());
        capture.file.extend_from_slice(&1u32.to_le_bytes());
        capture.segment(Side::Acquirer, SYN, &[], at);
        capture.segment(Side::Listener, SYN | ACK, &[], at);
        capture.segment(Side::Acquirer, ACK, &[], at);
        capture
    }

    /// What one side said.
    pub(crate) fn said(&mut self, side: Side, bytes: &[u8], at: SystemTime) {
        for part in bytes.chunks(SEGMENT_BYTES_MAX) {
            self.segment(side, PSH | ACK, part, at);
        }
        let other = match side {
            Side::Acquirer => Side::Listener,
            Side::Listener => Side::Acquirer,
        };
        self.segment(other, ACK, &[], at);
    }

    /// Ends the conversation and writes the file.
    pub(crate) fn finish(mut self, path: &Path, at: SystemTime) -> io::Result<()> {
        self.segment(Side::Acquirer, FIN | ACK, &[], at);
        self.segment(Side::Listener, FIN | ACK, &[], at);
        self.segment(Side::Acquirer, ACK, &[], at);
        std::fs::write(path, &self.file)
    }

    fn segment(&mut self, side: Side, flags: u8, data: &[u8], at: SystemTime) {
        let (from, to) = match side {
            Side::Acquirer => (&mut self.acquirer, &mut self.listener),
            Side::Listener => (&mut self.listener, &mut self.acquirer),
        };
        self.packets = self.packets.wrapping_add(1);
        let tcp = tcp(from, to, flags, data);
        let ip = ipv4(from, to, self.packets, &tcp);
        let frame = [&to.mac[..], &from.mac[..], &[0x08, 0x00], &ip, &tcp].concat();
        // A SYN or a FIN counts as a byte.
        let counted = data.len() as u32 + u32::from(flags & (SYN | FIN) != 0);
        from.sequence = from.sequence.wrapping_add(counted);
        let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let length = (frame.len() as u32).to_le_bytes();
        self.file.extend_from_slice(&(since.as_secs() as u32).to_le_bytes());
        self.file.extend_from_slice(&since.subsec_micros().to_le_bytes());
        self.file.extend_from_slice(&length);
        self.file.extend_from_slice(&length);
        self.file.extend_from_slice(&frame);
    }
}

/// A TCP header of 20 bytes with its data.
fn tcp(from: &End, to: &End, flags: u8, data: &[u8]) -> Vec<u8> {
    let acknowledged = if flags & ACK == 0 { 0 } else { to.sequence };
    let mut segment = Vec::with_capacity(20 + data.len());
    segment.extend_from_slice(&from.port.to_be_bytes());
    segment.extend_from_slice(&to.port.to_be_bytes());
    segment.extend_from_slice(&from.sequence.to_be_bytes());
    segment.extend_from_slice(&acknowledged.to_be_bytes());
    segment.extend_from_slice(&[5 << 4, flags]);
    segment.extend_from_slice(&65_535u16.to_be_bytes());
    // Checksum and urgent pointer.
    segment.extend_from_slice(&[0; 4]);
    segment.extend_from_slice(data);
    let length = (segment.len() as u16).to_be_bytes();
    let pseudo = [&from.ip.octets()[..], &to.ip.octets(), &[0, 6], &length].concat();
    let sum = checksum(&[&pseudo, &segment]);
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    segment
}

/// The IPv4 header of 20 bytes that goes before `segment`.
fn ipv4(from: &End, to: &End, number: u16, segment: &[u8]) -> Vec<u8> {
    let mut header = vec![0x45, 0];
    header.extend_from_slice(&(20 + segment.len() as u16).to_be_bytes());
    header.extend_from_slice(&number.to_be_bytes());
    // Don't fragment; 64 hops; TCP; checksum.
    header.extend_from_slice(&[0x40, 0, 64, 6, 0, 0]);
    header.extend_from_slice(&from.ip.octets());
    header.extend_from_slice(&to.ip.octets());
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    header
}

/// The Internet checksum (RFC 1071) over parts, all but the last of even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for part in parts {
        for pair in part.chunks(2) {
            let low = pair.get(1).copied().unwrap_or_default();
            sum += u32::from(u16::from_be_bytes([pair[0], low]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_hold_and_sequences_follow() {
        // RFC 1071, section 3: the sum of these is ddf2.
        assert_eq!(checksum(&[&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]]), !0xddf2);
        let mut capture = Capture::begin(40_000, SystemTime::UNIX_EPOCH);
        capture.said(Side::Acquirer, b"odd", SystemTime::UNIX_EPOCH);
        assert_eq!((capture.acquirer.sequence, capture.listener.sequence), (1_004, 5_001));
        let mut at = 24;
        let mut packets = 0;
        while at < capture.file.len() {
            let length = u32::from_le_bytes(capture.file[at + 8..at + 12].try_into().unwrap()) as usize;
            let frame = &capture.file[at + 16..at + 16 + length];
            let (ip, tcp) = (&frame[14..34], &frame[34..]);
            // A header with its checksum in place sums up to nothing.
            assert_eq!(checksum(&[ip]), 0);
            let pseudo = [&ip[12..20], &[0, 6], &(tcp.len() as u16).to_be_bytes()].concat();
            assert_eq!(checksum(&[&pseudo, tcp]), 0);
            at += 16 + length;
            packets += 1;
        }
        assert_eq!(packets, 5);
    }
}
