// Names for Asio's parts, as the socket files (server, listener, peer) use them.
// <utility> must come before Asio: Boost 1.74's awaitable.hpp forgets it in C++20.
#pragma once

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include <utility>

namespace troupe::http {

namespace net = boost::asio;
using tcp = boost::asio::ip::tcp;
using error_code = boost::system::error_code;
/// The loop's own executor instead of any_io_executor: no indirect call per operation.
using executor = net::io_context::executor_type;
/// TCP or a Unix socket.
using stream_protocol = net::generic::stream_protocol;
using stream_socket = net::basic_stream_socket<stream_protocol, executor>;
using stream_acceptor = net::basic_socket_acceptor<stream_protocol, executor>;
using loop_timer = net::basic_waitable_timer<std::chrono::steady_clock,
                                             net::wait_traits<std::chrono::steady_clock>, executor>;

} // namespace troupe::http
