//! Cuts a script into tokens, each with its line.

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// Letters, digits and underscores, beginning with a letter: `socket`, `S`, `sackOK`.
    Word(String),
    /// As written: `12`, `0.5`, `.1`, `0x1f`.
    Number(String),
    /// `...`
    Ellipsis,
    /// One character: `+ ~ * < > ( ) [ ] { } : , . = | - ;`
    Punct(char),
    /// Between backticks.
    Command(String),
    /// `--name=value`, to the end of the line.
    Setting(String, String),
}

#[derive(Debug)]
pub(crate) struct Tokens {
    pub(crate) tokens: Vec<(usize, Token)>,
    pub(crate) strict: bool,
    pub(crate) last_line: usize,
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    strict: bool,
}

/// An error is a line and what is wrong there.
pub(crate) fn tokens(text: &str) -> Result<Tokens, (usize, String)> {
    let mut lexer = Lexer { rest: text, line: 1, strict: false };
    let mut tokens = Vec::new();
    while lexer.skip_blank()? {
        let line = lexer.line;
        tokens.push((line, lexer.token()?));
    }
    Ok(Tokens { tokens, strict: lexer.strict, last_line: lexer.line })
}

impl<'a> Lexer<'a> {
    fn error<T>(&self, message: impl Into<String>) -> Result<T, (usize, String)> {
        Err((self.line, message.into()))
    }

    fn advance(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    fn to_line_end(&mut self) -> &'a str {
        self.advance(self.rest.find('\n').unwrap_or(self.rest.len()))
    }

    /// Skips blanks and comments; false at the end of the text.
    fn skip_blank(&mut self) -> Result<bool, (usize, String)> {
        loop {
            let blanks = self.rest.len() - self.rest.trim_start().len();
            self.advance(blanks);
            if self.rest.starts_with("//") || self.rest.starts_with('#') {
                let comment = self.to_line_end();
                self.strict |= comment.trim_start_matches('/').trim() == "@strict";
            } else if self.rest.starts_with("/*") {
                match self.rest.find("*/") {
                    Some(end) => self.advance(end + 2),
                    None => return self.error("this comment has no end"),
                };
            } else {
                return Ok(!self.rest.is_empty());
            }
        }
    }

    fn token(&mut self) -> Result<Token, (usize, String)> {
        let rest = self.rest;
        let first = rest.chars().next().unwrap_or(' ');
        if rest.starts_with("...") {
            self.advance(3);
            return Ok(Token::Ellipsis);
        }
        if rest.starts_with("%{") {
            return self.error("assertions on internals (%{ }%) are not understood");
        }
        if rest.starts_with("--") {
            return self.setting();
        }
        if first == '`' {
            return self.command();
        }
        if first.is_ascii_alphabetic() || first == '_' {
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let len = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            return Ok(Token::Word(self.advance(len).to_owned()));
        }
        let second = rest[first.len_utf8()..].chars().next().unwrap_or(' ');
        if first.is_ascii_digit() || (first == '.' && second.is_ascii_digit()) {
            let len = number_len(rest);
            return Ok(Token::Number(self.advance(len).to_owned()));
        }
        if "+~*<>()[]{}:,.=|-;".contains(first) {
            self.advance(1);
            return Ok(Token::Punct(first));
        }
        self.error(format!("`{first}` means nothing here"))
    }

    fn setting(&mut self) -> Result<Token, (usize, String)> {
        let line = self.to_line_end();
        let line = line.split("//").next().unwrap_or_default().trim();
        match line.trim_start_matches("--").split_once('=') {
            Some((name, value)) => Ok(Token::Setting(name.trim().into(), value.trim().into())),
            None => self.error(format!("`{line}`: expected --name=value")),
        }
    }

    fn command(&mut self) -> Result<Token, (usize, String)> {
        let Some(end) = self.rest[1..].find('`') else {
            return self.error("this backtick has no partner");
        };
        let text = self.advance(end + 2);
        Ok(Token::Command(text.trim_matches('`').trim().to_owned()))
    }
}

/// Length of the number that `text` starts with. A dot belongs to it if a digit follows.
fn number_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    if text.starts_with("0x") {
        return 2 + bytes[2..].iter().take_while(|b| b.is_ascii_hexdigit()).count();
    }
    let mut len = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
    if bytes.get(len) == Some(&b'.') && bytes.get(len + 1).is_some_and(u8::is_ascii_digit) {
        len += 1;
        len += bytes[len..].iter().take_while(|b| b.is_ascii_digit()).count();
    }
    len
}
