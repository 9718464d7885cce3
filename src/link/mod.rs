//! Carries bytes: TCP, TLS, SOCKS5, HTTP.
