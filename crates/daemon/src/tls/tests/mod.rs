//! Tests of the room: the engine in memory, certificates in files, and what OpenSSL makes of both.

mod engine;
mod files;
mod with_openssl;
