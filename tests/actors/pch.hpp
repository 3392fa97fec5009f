// Precompiled for this room's tests: CAF whole, and Boost.Test.
#pragma once

#include <boost/test/unit_test.hpp>
#include <caf/all.hpp>
#include <caf/scheduler/test_coordinator.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>
