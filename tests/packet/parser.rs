//! From tokens to a [`Script`]: events, their times, and system calls. Packets are in `packets.rs`.

use super::ast::{Action, Arg, Call, Event, Nanos, Script, Time};
use super::lexer::{Token, Tokens, tokens};

/// Where a parser stands.
pub(crate) struct Parser {
    tokens: Vec<(usize, Token)>,
    at: usize,
    last_line: usize,
}

pub(crate) type Parsed<T> = Result<T, (usize, String)>;

/// Parses a script; an error reads `name:line: what`.
pub(crate) fn parse(name: &str, text: &str) -> Result<Script, String> {
    let located = |(line, what): (usize, String)| format!("{name}:{line}: {what}");
    let Tokens { tokens, strict, last_line } = tokens(text).map_err(located)?;
    let mut parser = Parser { tokens, at: 0, last_line };
    let mut script =
        Script { name: name.to_owned(), options: Vec::new(), strict, events: Vec::new() };
    parser.script(&mut script).map_err(located)?;
    Ok(script)
}

impl Parser {
    fn script(&mut self, script: &mut Script) -> Parsed<()> {
        while let Some(token) = self.peek().cloned() {
            let line = self.line();
            match token {
                Token::Setting(name, value) if script.events.is_empty() => {
                    self.at += 1;
                    script.options.push((line, name, value));
                }
                Token::Setting(..) => return self.error("options come before the first event"),
                Token::Command(text) => {
                    self.at += 1;
                    let action = Action::Command(text);
                    script.events.push(Event { line, time: Time::Relative(0), action });
                }
                _ => {
                    let event = self.event(line)?;
                    script.events.push(event);
                }
            }
        }
        Ok(())
    }

    fn event(&mut self, line: usize) -> Parsed<Event> {
        let time = self.time()?;
        let end = if self.skip(&Token::Ellipsis) { Some(self.nanos()?) } else { None };
        let action = match self.peek() {
            Some(Token::Punct('<')) if self.follows("icmp") => {
                self.next();
                Action::InjectIcmp(self.icmp()?)
            }
            Some(Token::Punct('<')) => Action::Inject(self.packet()?),
            Some(Token::Punct('>')) => Action::Expect(self.packet()?),
            Some(Token::Word(_)) => Action::Call(self.call(end)?),
            Some(Token::Command(_)) => match self.next() {
                Some(Token::Command(text)) => Action::Command(text),
                _ => return self.error("expected a command"),
            },
            _ => return self.error("expected a packet (< or >), a system call or a command"),
        };
        if end.is_some() && !matches!(action, Action::Call(_)) {
            return self.error("only a system call may have an end (`...`)");
        }
        let waits = matches!(time, Time::Any | Time::AbsoluteRange(..) | Time::RelativeRange(..));
        if waits && !matches!(action, Action::Expect(_)) {
            return self.error("only an expected packet may come at an inexact time");
        }
        Ok(Event { line, time, action })
    }

    fn time(&mut self) -> Parsed<Time> {
        if self.skip_punct('*') {
            return Ok(Time::Any);
        }
        let relative = self.skip_punct('+');
        let from = self.nanos()?;
        if !self.skip_punct('~') {
            return Ok(if relative { Time::Relative(from) } else { Time::Absolute(from) });
        }
        if relative != self.skip_punct('+') {
            return self.error("both ends of a range are relative (+) or neither");
        }
        let to = self.nanos()?;
        if to < from {
            return self.error("this range ends before it begins");
        }
        Ok(if relative { Time::RelativeRange(from, to) } else { Time::AbsoluteRange(from, to) })
    }

    /// `+0 name(arg, …) = result [ERRNO [(note)]]`
    fn call(&mut self, end: Option<Nanos>) -> Parsed<Call> {
        let name = self.word()?;
        self.expect_punct('(')?;
        let mut args = Vec::new();
        while !self.skip_punct(')') {
            args.push(self.arg()?);
            if !self.skip_punct(',') && self.peek() != Some(&Token::Punct(')')) {
                return self.error("expected `,` or `)`");
            }
        }
        self.expect_punct('=')?;
        let result = self.integer()?;
        let errno = match self.peek() {
            Some(Token::Word(word)) if word.starts_with('E') => Some(word.clone()),
            _ => None,
        };
        if errno.is_some() {
            self.at += 1;
        }
        if self.skip_punct('(') {
            while !self.skip_punct(')') {
                if self.next().is_none() {
                    return self.error("this note has no end");
                }
            }
        }
        Ok(Call { end, name, args, result, errno })
    }

    fn arg(&mut self) -> Parsed<Arg> {
        match self.peek() {
            Some(Token::Ellipsis) => {
                self.at += 1;
                Ok(Arg::Ellipsis)
            }
            Some(Token::Punct('[')) => {
                self.at += 1;
                let mut items = Vec::new();
                while !self.skip_punct(']') {
                    items.push(self.arg()?);
                    self.skip_punct(',');
                }
                Ok(Arg::List(items))
            }
            Some(Token::Punct('{')) => self.fields(),
            Some(Token::Word(_)) => {
                let mut words = vec![self.word()?];
                while self.skip_punct('|') {
                    words.push(self.word()?);
                }
                Ok(Arg::Words(words))
            }
            _ => self.integer().map(Arg::Integer),
        }
    }

    fn fields(&mut self) -> Parsed<Arg> {
        self.expect_punct('{')?;
        let mut fields = Vec::new();
        while !self.skip_punct('}') {
            self.skip_punct('.');
            let name = self.word()?;
            self.expect_punct('=')?;
            fields.push((name, self.integer()?));
            self.skip_punct(',');
        }
        Ok(Arg::Fields(fields))
    }

    // ----- what packets.rs uses too -----

    pub(crate) fn line(&self) -> usize {
        self.tokens.get(self.at).map_or(self.last_line, |(line, _)| *line)
    }

    pub(crate) fn error<T>(&self, what: impl Into<String>) -> Parsed<T> {
        let found = match self.peek() {
            Some(token) => format!(", found {token:?}"),
            None => String::from(", found the end of the script"),
        };
        Err((self.line(), what.into() + &found))
    }

    pub(crate) fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(_, token)| token)
    }

    /// Whether the token after the next one is this word.
    fn follows(&self, word: &str) -> bool {
        matches!(self.tokens.get(self.at + 1), Some((_, Token::Word(w))) if w == word)
    }

    pub(crate) fn next(&mut self) -> Option<Token> {
        let token = self.peek().cloned();
        self.at += 1;
        token
    }

    pub(crate) fn skip(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        self.at += usize::from(found);
        found
    }

    pub(crate) fn skip_punct(&mut self, c: char) -> bool {
        self.skip(&Token::Punct(c))
    }

    pub(crate) fn skip_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(w)) if w == word);
        self.at += usize::from(found);
        found
    }

    pub(crate) fn expect_punct(&mut self, c: char) -> Parsed<()> {
        if self.skip_punct(c) { Ok(()) } else { self.error(format!("expected `{c}`")) }
    }

    pub(crate) fn word(&mut self) -> Parsed<String> {
        match self.peek().cloned() {
            Some(Token::Word(word)) => {
                self.at += 1;
                Ok(word)
            }
            _ => self.error("expected a name"),
        }
    }

    pub(crate) fn integer(&mut self) -> Parsed<i64> {
        let negative = self.skip_punct('-');
        let Some(Token::Number(text)) = self.peek().cloned() else {
            return self.error("expected a number");
        };
        let value = match text.strip_prefix("0x") {
            Some(hex) => i64::from_str_radix(hex, 16),
            None => text.parse(),
        };
        let Ok(value) = value else { return self.error("expected a whole number") };
        self.at += 1;
        Ok(if negative { -value } else { value })
    }

    pub(crate) fn unsigned<T: TryFrom<i64>>(&mut self, what: &str) -> Parsed<T> {
        let value = self.integer()?;
        match T::try_from(value) {
            Ok(value) => Ok(value),
            Err(_) => self.error(format!("{value} is out of range for {what}")),
        }
    }

    /// Decimal seconds.
    fn nanos(&mut self) -> Parsed<Nanos> {
        let Some(Token::Number(text)) = self.peek().cloned() else {
            return self.error("expected a time in seconds");
        };
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let whole = if whole.is_empty() { "0" } else { whole };
        match (whole.parse::<Nanos>(), format!("{fraction:0<9}").parse::<Nanos>()) {
            (Ok(seconds), Ok(nanos)) if fraction.len() <= 9 => {
                self.at += 1;
                Ok(seconds * 1_000_000_000 + nanos)
            }
            _ => self.error("expected a time in seconds"),
        }
    }
}
