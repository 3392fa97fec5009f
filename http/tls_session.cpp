#include "http/tls_session.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <new>
#include <sys/socket.h>
#include <utility>

namespace troupe::http {

namespace {

int socket_of(BIO* bio) {
  // The descriptor is the pointer's value: there is nothing to own.
  return static_cast<int>(reinterpret_cast<std::intptr_t>(BIO_get_data(bio)));
}

bool try_later() {
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

int bio_read(BIO* bio, char* into, int size) {
  BIO_clear_retry_flags(bio);
  const auto got = ::recv(socket_of(bio), into, static_cast<std::size_t>(size), 0);
  if (got < 0 && try_later())
    BIO_set_retry_read(bio);
  return static_cast<int>(got);
}

int bio_write(BIO* bio, const char* from, int size) {
  BIO_clear_retry_flags(bio);
  const auto sent = ::send(socket_of(bio), from, static_cast<std::size_t>(size), MSG_NOSIGNAL);
  if (sent < 0 && try_later())
    BIO_set_retry_write(bio);
  return static_cast<int>(sent);
}

/// An end of the stream is not told as one (BIO_CTRL_EOF): it would break our side, too, and who
/// only stops sending still gets an answer.
long bio_control(BIO*, int command, long, void*) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

/// OpenSSL's own BIO for sockets writes without MSG_NOSIGNAL.
const BIO_METHOD* socket_method() {
  static const std::unique_ptr<BIO_METHOD, void (*)(BIO_METHOD*)> method{
      [] {
        auto* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "troupe socket");
        if (made == nullptr || BIO_meth_set_read(made, &bio_read) != 1
            || BIO_meth_set_write(made, &bio_write) != 1
            || BIO_meth_set_ctrl(made, &bio_control) != 1)
          throw std::bad_alloc{};
        return made;
      }(),
      &BIO_meth_free};
  return method.get();
}

} // namespace

tls_session::tls_session(std::shared_ptr<ssl_ctx_st> context, int socket)
    : context_(std::move(context)), ssl_(SSL_new(context_.get()), &SSL_free) {
  auto* bio = BIO_new(socket_method());
  if (ssl_ == nullptr || bio == nullptr) {
    BIO_free(bio);
    throw std::bad_alloc{};
  }
  BIO_set_data(bio, reinterpret_cast<void*>(static_cast<std::intptr_t>(socket)));
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
  SSL_set_accept_state(ssl_.get());
}

tls_session::progress tls_session::verdict(int result) {
  const int error = SSL_get_error(ssl_.get(), result);
  switch (error) {
  case SSL_ERROR_WANT_READ:
    return progress::want_read;
  case SSL_ERROR_WANT_WRITE:
    return progress::want_write;
  case SSL_ERROR_ZERO_RETURN:
    return progress::end;
  case SSL_ERROR_SYSCALL:
    // The socket's own end or error; there is nothing that OpenSSL minds.
    if (ERR_peek_error() == 0 && errno == 0)
      return progress::end;
    break;
  default:
    break;
  }
  broken_ = true;
  const char* text = ERR_reason_error_string(ERR_peek_last_error());
  why_ = text != nullptr ? text : "the connection broke";
  ERR_clear_error();
  return progress::failed;
}

tls_session::progress tls_session::read(std::span<char> into, std::size_t& count) {
  count = 0;
  if (broken_)
    return progress::failed;
  ERR_clear_error();
  errno = 0;
  const int result = SSL_read_ex(ssl_.get(), into.data(), into.size(), &count);
  return result == 1 ? progress::done : verdict(result);
}

tls_session::progress tls_session::peek() {
  if (broken_)
    return progress::failed;
  ERR_clear_error();
  errno = 0;
  char byte = 0;
  std::size_t count = 0;
  const int result = SSL_peek_ex(ssl_.get(), &byte, 1, &count);
  return result == 1 ? progress::done : verdict(result);
}

tls_session::progress tls_session::write(std::string_view first, std::string_view second,
                                         std::size_t& count) {
  count = 0;
  if (broken_)
    return progress::failed;
  std::string_view record = first.empty() ? second : first;
  if (!first.empty() && !second.empty()) {
    if (gathered_.empty()) { // else the same bytes are there already
      gathered_ = first.substr(0, record_bytes);
      gathered_ += second.substr(0, record_bytes - gathered_.size());
    }
    record = gathered_;
  }
  record = record.substr(0, record_bytes);
  ERR_clear_error();
  errno = 0;
  const int result = SSL_write_ex(ssl_.get(), record.data(), record.size(), &count);
  if (result != 1)
    return verdict(result);
  std::string{}.swap(gathered_);
  return progress::done;
}

void tls_session::end_sending() {
  if (broken_ || std::exchange(ended_, true) || SSL_is_init_finished(ssl_.get()) == 0)
    return;
  ERR_clear_error();
  SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

} // namespace troupe::http
