#include "http/tls_context.hpp"

#include "http/time_format.hpp"
#include "messages/log.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <stdexcept>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace troupe::http {

namespace {

using bio_ptr = std::unique_ptr<BIO, decltype(&BIO_free)>;
using x509_ptr = std::unique_ptr<X509, decltype(&X509_free)>;
using key_ptr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

constexpr std::size_t file_bytes = 1024UL * 1024;

/// The file's text, wiped when it goes.
class secret_text {
public:
  explicit secret_text(std::string text) : text_(std::move(text)) {}
  secret_text(const secret_text&) = delete;
  secret_text& operator=(const secret_text&) = delete;
  ~secret_text() { OPENSSL_cleanse(text_.data(), text_.size()); }
  bio_ptr bio() const {
    return {BIO_new_mem_buf(text_.data(), static_cast<int>(text_.size())), &BIO_free};
  }

private:
  std::string text_;
};

std::string quoted(const std::string& path) {
  return "'" + path + "'";
}

std::string read_all(int file, const std::string& what) {
  std::string text(file_bytes + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const auto got = ::read(file, text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      throw std::runtime_error(what + " cannot be read: " + std::strerror(errno));
    if (got == 0)
      break;
    size += static_cast<std::size_t>(got);
  }
  if (size > file_bytes)
    throw std::runtime_error(what + " is larger than 1 MiB");
  text.resize(size);
  return text;
}

struct open_file {
  explicit open_file(const std::string& path) : fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  open_file(const open_file&) = delete;
  open_file& operator=(const open_file&) = delete;
  ~open_file() {
    if (fd >= 0)
      ::close(fd);
  }
  const int fd;
};

/// `secret`: refused when everybody may read it. Looks at the file that is read, not at its name.
std::string read_file(const std::string& path, const char* kind, bool secret) {
  const auto what = std::string{"the "} + kind + " " + quoted(path);
  const open_file file{path};
  if (file.fd < 0)
    throw std::runtime_error(what + " cannot be opened: " + std::strerror(errno));
  struct stat found {};
  if (::fstat(file.fd, &found) != 0 || !S_ISREG(found.st_mode))
    throw std::runtime_error(what + " is no file");
  if (secret && (found.st_mode & (S_IROTH | S_IWOTH)) != 0)
    throw std::runtime_error(what + " is open to everybody on this machine; chmod 600 or 640 it");
  return read_all(file.fd, what);
}

std::string reason() {
  const auto code = ERR_peek_last_error();
  const char* text = ERR_reason_error_string(code);
  std::string out = text != nullptr ? text : "it is not understood";
  ERR_clear_error();
  return out;
}

std::chrono::system_clock::time_point time_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1)
    throw std::runtime_error("the certificate has no time that is one");
  return std::chrono::system_clock::from_time_t(::timegm(&parts));
}

std::string text_of(std::chrono::system_clock::time_point time) {
  return format_time(std::chrono::time_point_cast<timestamp::duration>(time));
}

/// ALPN: of what the client speaks we speak one.
int choose_protocol(SSL*, const unsigned char** out, unsigned char* length,
                    const unsigned char* offered, unsigned int size, void*) {
  static constexpr std::array<unsigned char, 9> ours{8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, length, ours.data(), ours.size(), offered, size)
      != OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

/// Of TLS 1.2 only what has forward secrecy and is authenticated encryption; 1.3 has no other.
constexpr const char* ciphers_of_1_2 = "ECDHE+AESGCM:ECDHE+CHACHA20";

tls_context::ssl_ctx new_context() {
  tls_context::ssl_ctx out{SSL_CTX_new(TLS_server_method()), &SSL_CTX_free};
  auto* ctx = out.get();
  if (ctx == nullptr || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1
      || SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) != 1
      || SSL_CTX_set_cipher_list(ctx, ciphers_of_1_2) != 1)
    throw std::runtime_error("TLS could not be set up: " + reason());
  SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION
                               | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER
                            | SSL_MODE_RELEASE_BUFFERS);
  // Sessions go on by tickets, which the client keeps: nothing is kept here for who is gone.
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_alpn_select_cb(ctx, &choose_protocol, nullptr);
  return out;
}

/// The leaf goes into the context with its chain; gives when it ends.
std::chrono::system_clock::time_point use_certificates(SSL_CTX* ctx, const std::string& path) {
  const auto what = "the certificate " + quoted(path);
  const secret_text text{read_file(path, "certificate", false)};
  const auto bio = text.bio();
  const x509_ptr leaf{PEM_read_bio_X509_AUX(bio.get(), nullptr, nullptr, nullptr), &X509_free};
  if (!leaf)
    throw std::runtime_error(what + " is no PEM certificate: " + reason());
  const auto now = std::chrono::system_clock::now();
  const auto begins = time_of(X509_get0_notBefore(leaf.get()));
  const auto ends = time_of(X509_get0_notAfter(leaf.get()));
  if (ends <= now)
    throw std::runtime_error(what + " has expired on " + text_of(ends));
  if (begins > now)
    throw std::runtime_error(what + " does not hold before " + text_of(begins));
  if (SSL_CTX_use_certificate(ctx, leaf.get()) != 1)
    throw std::runtime_error(what + " cannot be used: " + reason());
  while (auto* further = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr))
    if (SSL_CTX_add0_chain_cert(ctx, further) != 1) {
      X509_free(further);
      throw std::runtime_error(what + " has a chain that cannot be used: " + reason());
    }
  if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
    throw std::runtime_error(what
                             + " has something in its chain that is no certificate: " + reason());
  ERR_clear_error();
  return ends;
}

void use_key(SSL_CTX* ctx, const tls_files& files) {
  const auto what = "the key " + quoted(files.key);
  const secret_text text{read_file(files.key, "key", true)};
  bool asked = false;
  const auto no_passphrase = [](char*, int, int, void* was_asked) {
    *static_cast<bool*>(was_asked) = true;
    return -1;
  };
  const key_ptr key{PEM_read_bio_PrivateKey(text.bio().get(), nullptr, no_passphrase, &asked),
                    &EVP_PKEY_free};
  if (asked) {
    ERR_clear_error();
    throw std::runtime_error(what + " is locked by a passphrase, which nobody could type here");
  }
  if (!key)
    throw std::runtime_error(what + " is no PEM key: " + reason());
  if (SSL_CTX_use_PrivateKey(ctx, key.get()) != 1 || SSL_CTX_check_private_key(ctx) != 1)
    throw std::runtime_error(what + " does not belong to the certificate "
                             + quoted(files.certificate) + ": " + reason());
}

struct loaded {
  tls_context::ssl_ctx context;
  tls_context::time_point ends;
};

loaded load(const tls_files& files) {
  ERR_clear_error();
  loaded out{new_context(), {}};
  out.ends = use_certificates(out.context.get(), files.certificate);
  use_key(out.context.get(), files);
  return out;
}

} // namespace

tls_context::tls_context(tls_files files) : files_(std::move(files)), seen_(look()) {
  auto pair = load(files_);
  context_ = std::move(pair.context);
  ends_ = pair.ends;
}

tls_context::ssl_ctx tls_context::current() const {
  const std::lock_guard lock{guard_};
  return context_;
}

bool tls_context::reload() {
  return load_again(look());
}

void tls_context::reload_if_changed() {
  const auto found = look();
  {
    const std::lock_guard lock{guard_};
    if (found == seen_)
      return;
  }
  load_again(found);
}

/// `seen` is from before the files were read: what changes meanwhile is another change.
bool tls_context::load_again(const marks& seen) {
  try {
    auto pair = load(files_);
    {
      const std::lock_guard lock{guard_};
      seen_ = seen;
      problem_.clear();
      context_ = std::move(pair.context);
      ends_ = pair.ends;
    }
    log::info("http", "the certificate of " + quoted(files_.certificate)
                          + " was read again; it ends on " + text_of(pair.ends));
    return true;
  } catch (const std::runtime_error& e) {
    log::error("http", std::string{"the certificate stays as it is: "} + e.what());
    const std::lock_guard lock{guard_};
    seen_ = seen;
    problem_ = e.what();
    return false;
  }
}

health_check tls_context::check(time_point now) const {
  const std::lock_guard lock{guard_};
  health_check out;
  out.name = "certificate";
  if (now >= ends_) {
    out.status = health_status::failing;
    out.detail = "it has expired on " + text_of(ends_);
  } else if (now + ends_soon > ends_) {
    out.status = health_status::degraded;
    out.detail = "it ends on " + text_of(ends_);
  }
  if (!problem_.empty()) {
    out.status = std::max(out.status, health_status::degraded);
    out.detail +=
        (out.detail.empty() ? "" : "; ") + ("the one before stays in use, since " + problem_);
  }
  return out;
}

tls_context::file_mark tls_context::mark_of(const std::string& path) {
  struct stat found {};
  if (::stat(path.c_str(), &found) != 0)
    return {};
  return {found.st_dev, found.st_ino, static_cast<std::uint64_t>(found.st_size),
          found.st_ctim.tv_sec * 1'000'000'000L + found.st_ctim.tv_nsec};
}

} // namespace troupe::http
