//! The part of the parser that reads packets.

use super::ast::{Options, Packet};
use super::lexer::Token;
use super::parser::{Parsed, Parser};
use crate::segments::segment::{
    ACK, ECN_NAMES, FIN, FLAG_LETTERS, SYN, TcpOption, URG, accecn_names,
};

impl Parser {
    /// `< [ecn] flags seq:end(len) [ack n] [win n] [urg n] [<options>]`
    pub(crate) fn packet(&mut self) -> Parsed<Packet> {
        self.next();
        let ecn = self.ecn()?;
        if self.peek() == Some(&Token::Punct('(')) {
            return self.error("of the IP header only its ECN field is understood, as in [ect0]");
        }
        if matches!(self.peek(), Some(Token::Word(w)) if w == "icmp" || w == "udp") {
            return self.error("only TCP packets, and ICMP errors to the engine, are understood");
        }
        let flags = self.flags()?;
        let (seq, len) = self.sequence(flags)?;
        let ack = if self.skip_word("ack") { Some(self.unsigned("ack")?) } else { None };
        if ack.is_some() != (flags & ACK != 0) {
            return self.error("`ack` and the flag `.` go together");
        }
        let window = if self.skip_word("win") { Some(self.unsigned("win")?) } else { None };
        let urgent = if self.skip_word("urg") { Some(self.unsigned("urg")?) } else { None };
        if urgent.is_some() != (flags & URG != 0) {
            return self.error("`urg` and the flag `U` go together");
        }
        // An event starts with a time, so this is no next packet.
        let options = if self.skip_punct('<') { self.options()? } else { Options::Unwritten };
        Ok(Packet { ecn, flags, seq, len, ack, window, urgent, options })
    }

    /// `[ect0]`
    fn ecn(&mut self) -> Parsed<Option<u8>> {
        if !self.skip_punct('[') {
            return Ok(None);
        }
        let name = self.word()?;
        let Some(value) = ECN_NAMES.iter().position(|known| *known == name) else {
            return self.error(format!("`{name}` is none of {}", ECN_NAMES.join(", ")));
        };
        self.expect_punct(']')?;
        Ok(Some(value as u8))
    }

    fn flags(&mut self) -> Parsed<u16> {
        let mut flags = 0;
        if let Some(Token::Word(word)) = self.peek().cloned() {
            for letter in word.chars() {
                let known = FLAG_LETTERS.iter().find(|(_, c)| *c == letter);
                let Some((bit, _)) = known else {
                    return self.error(format!("`{letter}` is no flag: F S R P U E W A ."));
                };
                flags |= bit;
            }
            self.next();
            if self.skip_punct('.') {
                flags |= ACK;
            }
        } else if self.skip_punct('.') {
            flags = ACK;
        } else if !self.skip_punct('-') {
            return self.error("expected flags: F S R P U E W A . or -");
        }
        Ok(flags)
    }

    pub(crate) fn sequence(&mut self, flags: u16) -> Parsed<(u32, u32)> {
        let seq: u32 = self.unsigned("a sequence number")?;
        self.expect_punct(':')?;
        let end: u32 = self.unsigned("a sequence number")?;
        self.expect_punct('(')?;
        let len: u32 = self.unsigned("a length")?;
        self.expect_punct(')')?;
        if end.wrapping_sub(seq) != len {
            let counted = if flags & (SYN | FIN) != 0 { " (SYN and FIN do not count)" } else { "" };
            return self.error(format!("{seq}:{end}({len}) does not add up{counted}"));
        }
        Ok((seq, len))
    }

    fn options(&mut self) -> Parsed<Options> {
        if self.skip(&Token::Ellipsis) {
            self.expect_punct('>')?;
            return Ok(Options::Any);
        }
        let mut options = Vec::new();
        while !self.skip_punct('>') {
            options.push(self.option()?);
            if !self.skip_punct(',') && self.peek() != Some(&Token::Punct('>')) {
                return self.error("expected `,` or `>`");
            }
        }
        Ok(Options::These(options))
    }

    fn option(&mut self) -> Parsed<TcpOption> {
        let name = self.word()?;
        Ok(match name.as_str() {
            "nop" => TcpOption::Nop,
            "eol" => TcpOption::End,
            "mss" => TcpOption::Mss(self.unsigned("mss")?),
            "wscale" => TcpOption::WindowScale(self.unsigned("wscale")?),
            "sackOK" => TcpOption::SackPermitted,
            "sack" => self.sack()?,
            "TS" => self.timestamps()?,
            "ECN" => self.accecn()?,
            "hex" => self.hex()?,
            _ => return self.error(format!("`{name}` is no option that is understood")),
        })
    }

    fn sack(&mut self) -> Parsed<TcpOption> {
        let mut blocks = Vec::new();
        while matches!(self.peek(), Some(Token::Number(_))) {
            let from = self.unsigned("a sequence number")?;
            self.expect_punct(':')?;
            blocks.push((from, self.unsigned("a sequence number")?));
        }
        Ok(TcpOption::Sack(blocks))
    }

    fn timestamps(&mut self) -> Parsed<TcpOption> {
        if !self.skip_word("val") {
            return self.error("expected `TS val n ecr n`");
        }
        let val = self.unsigned("a timestamp")?;
        if !self.skip_word("ecr") {
            return self.error("expected `ecr`");
        }
        Ok(TcpOption::Timestamps { val, ecr: self.unsigned("a timestamp")? })
    }

    /// `ECN e0b 1 ceb 0 e1b 1`, from either end, with as many counters as wanted.
    fn accecn(&mut self) -> Parsed<TcpOption> {
        let reversed = matches!(self.peek(), Some(Token::Word(word)) if word == "e1b");
        let mut counters = Vec::new();
        for name in accecn_names(reversed) {
            if !self.skip_word(name) {
                break;
            }
            counters.push(self.unsigned("a counter")?);
        }
        Ok(TcpOption::AccEcn { reversed, counters })
    }

    /// Not in the public language: `hex 0xfd 0x04 0xaa 0xbb`, for options that nobody should send.
    fn hex(&mut self) -> Parsed<TcpOption> {
        let mut bytes = Vec::new();
        while matches!(self.peek(), Some(Token::Number(_))) {
            bytes.push(self.unsigned("a byte")?);
        }
        Ok(TcpOption::Raw(bytes))
    }
}
