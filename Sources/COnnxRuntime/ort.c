#include "ort.h"
