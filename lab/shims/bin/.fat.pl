# A FAT16 volume with files in its root directory: enough for a NoCloud seed, readable by any FAT driver.
use strict;
use warnings;
no warnings 'once';

our ($SECTOR, $PER_CLUSTER, $RESERVED, $ROOT_ENTRIES) = (512, 4, 1, 512);

sub fat_make {
    my ($path, $label) = @_;
    my $sectors = int((-s $path) / $SECTOR);
    my $clusters = int($sectors / $PER_CLUSTER);
    return "$path: too small for FAT16" if $clusters < 4200;
    $clusters = 65000 if $clusters > 65000;
    my $fat_sectors = int(($clusters + 2) * 2 / $SECTOR) + 1;
    my $used = $clusters * $PER_CLUSTER + $RESERVED + 2 * $fat_sectors + $ROOT_ENTRIES * 32 / $SECTOR;
    $sectors = $used if $used < $sectors;
    my $name = pack 'A11', uc $label;
    my $boot = pack('C3 A8 v C v C v v C v v v V V', 0xeb, 0x3c, 0x90, 'mkfs.fat', $SECTOR, $PER_CLUSTER, $RESERVED, 2,
        $ROOT_ENTRIES, $sectors < 65536 ? $sectors : 0, 0xf8, $fat_sectors, 32, 64, 0, $sectors < 65536 ? 0 : $sectors)
        . pack('C C C V A11 A8', 0x80, 0, 0x29, time & 0xffffffff, $name, 'FAT16');
    $boot .= "\0" x (510 - length $boot) . "\x55\xaa";
    open(my $out, '+<', $path) or return "$path: $!";
    binmode $out;
    my $fat = pack('v2', 0xfff8, 0xffff) . "\0" x ($fat_sectors * $SECTOR - 4);
    my $root = $name . pack('C x14 v v v V', 0x08, 0, 0x21, 0, 0) . "\0" x ($ROOT_ENTRIES * 32 - 32);
    print {$out} $boot, $fat, $fat, $root or return "$path: $!";
    close $out or return "$path: $!";
    return '';
}

sub fat_open {
    my ($path) = @_;
    open(my $file, '+<', $path) or return undef;
    binmode $file;
    read($file, my $boot, 512) == 512 or return undef;
    return undef if substr($boot, 54, 5) ne 'FAT16';
    my ($sector, $per, $reserved, $fats, $entries, undef, undef, $fat_sectors) = unpack 'x11 v C v C v v C v', $boot;
    my $fat_at = $reserved * $sector;
    my $root_at = $fat_at + $fats * $fat_sectors * $sector;
    my %v = (file => $file, cluster => $per * $sector, fat_at => $fat_at, fat_bytes => $fat_sectors * $sector, root_at => $root_at,
        entries => $entries, data_at => $root_at + $entries * 32);
    seek $file, $fat_at, 0;
    read $file, $v{fat}, $v{fat_bytes};
    seek $file, $root_at, 0;
    read $file, $v{root}, $entries * 32;
    return \%v;
}

# Files in the root directory: name => [first entry, last entry, first cluster, size].
sub fat_files {
    my ($v) = @_;
    my (%files, $long, $start);
    for my $i (0 .. $v->{entries} - 1) {
        my $entry = substr $v->{root}, $i * 32, 32;
        my $first = ord $entry;
        last if !$first;
        if ($first == 0xe5) { undef $long; next }
        my $kind = ord substr $entry, 11, 1;
        if ($kind == 0x0f) {
            my $part = join '', map { chr($_ & 0xff) } grep { $_ && $_ != 0xffff } unpack 'x v5 x3 v6 x2 v2', $entry;
            $start = $i if $first & 0x40;
            $long = $part . ($first & 0x40 ? '' : $long // '');
            next;
        }
        if ($kind & 0x08) { undef $long; next }
        my ($base, $ext) = map { s/ +$//r } unpack 'A8 A3', $entry;
        my $name = $long // lc($base . (length $ext ? ".$ext" : ''));
        my ($cluster, $size) = unpack 'x26 v V', $entry;
        $files{$name} = [defined $long ? $start : $i, $i, $cluster, $size];
        undef $long;
    }
    return \%files;
}

sub fat_read {
    my ($v, $found) = @_;
    my ($cluster, $size, $data) = (@$found[2, 3], '');
    while ($cluster >= 2 && $cluster < 0xfff8 && length $data < $size) {
        seek $v->{file}, $v->{data_at} + ($cluster - 2) * $v->{cluster}, 0;
        read $v->{file}, $data, $v->{cluster}, length $data;
        $cluster = unpack 'v', substr $v->{fat}, $cluster * 2, 2;
    }
    return substr $data, 0, $size;
}

sub fat_delete {
    my ($v, $found) = @_;
    substr($v->{root}, $_ * 32, 1) = "\xe5" for $found->[0] .. $found->[1];
    my $cluster = $found->[2];
    while ($cluster >= 2 && $cluster < 0xfff8) {
        my $next = unpack 'v', substr $v->{fat}, $cluster * 2, 2;
        substr($v->{fat}, $cluster * 2, 2) = "\0\0";
        $cluster = $next;
    }
    return;
}

sub fat_write {
    my ($v, $name, $data) = @_;
    my $files = fat_files($v);
    fat_delete($v, $files->{$name}) if $files->{$name};
    my $need = int((length($data) + $v->{cluster} - 1) / $v->{cluster});
    my @free;
    for my $c (2 .. $v->{fat_bytes} / 2 - 1) { last if @free == $need; push @free, $c if substr($v->{fat}, $c * 2, 2) eq "\0\0" }
    return 'Disk full' if @free < $need;
    for my $i (0 .. $#free) {
        substr($v->{fat}, $free[$i] * 2, 2) = pack 'v', $i < $#free ? $free[$i + 1] : 0xffff;
        seek $v->{file}, $v->{data_at} + ($free[$i] - 2) * $v->{cluster}, 0;
        print {$v->{file}} substr $data, $i * $v->{cluster}, $v->{cluster};
    }
    my $slots = int((length($name) + 12) / 13);
    my $at = 0;
    $at++ while $at < $v->{entries} && substr($v->{root}, $at * 32, 1) ne "\0";
    return 'No directory slots' if $at + $slots + 1 > $v->{entries};
    (my $base = uc $name) =~ s/[^A-Z0-9]//g;
    my $short = pack 'A8 A3', sprintf('%s~%d', substr($base, 0, 5), $at % 100), '';
    my $sum = 0;
    $sum = ((($sum & 1) << 7) + ($sum >> 1) + $_) & 0xff for unpack 'C*', $short;
    my @chars = (map({ ord } split //, $name), 0);
    push @chars, 0xffff while @chars < $slots * 13;
    my $entries = '';
    for my $n (reverse 1 .. $slots) {
        my @part = @chars[($n - 1) * 13 .. $n * 13 - 1];
        $entries .= pack 'C v5 C C C v6 v v2', $n | ($n == $slots ? 0x40 : 0), @part[0 .. 4], 0x0f, 0, $sum, @part[5 .. 10], 0, @part[11, 12];
    }
    $entries .= $short . pack 'C x8 v v v v V', 0x20, 0, 0, 0x21, @free ? $free[0] : 0, length $data;
    substr($entries, -32 + 12, 14) = "\0" x 14;
    substr($v->{root}, $at * 32, length $entries) = $entries;
    return '';
}

sub fat_save {
    my ($v) = @_;
    for my $copy (0, 1) { seek $v->{file}, $v->{fat_at} + $copy * $v->{fat_bytes}, 0; print {$v->{file}} $v->{fat} }
    seek $v->{file}, $v->{root_at}, 0;
    print {$v->{file}} $v->{root};
    return close $v->{file};
}

1;
