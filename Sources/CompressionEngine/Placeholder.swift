import GRDB
import Yams
import SwiftCSV
import CZlib
import CZip
import CImage
import CLapack
